"""Taking rows in: understanding a file or a query, checking each row, and making one act of it."""
