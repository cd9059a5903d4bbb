"""From the old SQLite files into PostgreSQL: found, landed as they are, mapped in SQL, every row accounted for."""
