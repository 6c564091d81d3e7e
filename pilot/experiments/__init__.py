"""Plan, seal, frame, sampling, assignment and the states of an experiment."""
