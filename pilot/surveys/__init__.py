"""Survey definitions, question types, waves, personal links and answers."""
