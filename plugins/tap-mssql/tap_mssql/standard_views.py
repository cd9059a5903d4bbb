"""What the views of the SQL standard tell of columns and keys, as discovery's own queries would.

For servers that speak TDS and do not have all of SQL Server's catalog views: compatible ones, gateways. Unlike those
views they know nothing of unique indexes that are no constraints, and of row counts. A server that
does not say how long a text may be, or says more than a page of SQL Server's holds, is taken to set no bound.
"""

NAMES = ("o.TABLE_SCHEMA", "o.TABLE_NAME")
"""What both queries call a table's schema and the table."""
COLUMNS = """
SELECT c.TABLE_SCHEMA, c.TABLE_NAME, CASE WHEN o.TABLE_TYPE = 'VIEW' THEN 'V' ELSE 'U' END, c.COLUMN_NAME, c.DATA_TYPE,
       COALESCE(CASE WHEN c.CHARACTER_OCTET_LENGTH > 8000 THEN -1 ELSE c.CHARACTER_OCTET_LENGTH END,
                CASE WHEN LOWER(c.DATA_TYPE) LIKE '%char%' THEN -1
                     WHEN LOWER(c.DATA_TYPE) LIKE '%binary%' THEN -1 ELSE 0 END) AS bytes,
       COALESCE(c.NUMERIC_PRECISION, 0),
       COALESCE(c.NUMERIC_SCALE, c.DATETIME_PRECISION, 0),
       CASE WHEN c.IS_NULLABLE = 'NO' THEN 0 ELSE 1 END, c.COLLATION_NAME, NULL
FROM INFORMATION_SCHEMA.COLUMNS c
JOIN INFORMATION_SCHEMA.TABLES o ON o.TABLE_SCHEMA = c.TABLE_SCHEMA AND o.TABLE_NAME = c.TABLE_NAME
WHERE o.TABLE_TYPE IN ('BASE TABLE', 'VIEW'){named}
ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION
"""
"""A row a column: schema, table, U or V, name, type, bytes, precision, scale, nullable, collation, number."""
KEYS = """
SELECT o.TABLE_SCHEMA, o.TABLE_NAME, o.CONSTRAINT_NAME, CASE WHEN o.CONSTRAINT_TYPE = 'PRIMARY KEY' THEN 1 ELSE 0 END,
       k.COLUMN_NAME, CASE WHEN c.IS_NULLABLE = 'NO' THEN 0 ELSE 1 END
FROM INFORMATION_SCHEMA.TABLE_CONSTRAINTS o
JOIN INFORMATION_SCHEMA.KEY_COLUMN_USAGE k
  ON k.CONSTRAINT_NAME = o.CONSTRAINT_NAME AND k.TABLE_SCHEMA = o.TABLE_SCHEMA AND k.TABLE_NAME = o.TABLE_NAME
JOIN INFORMATION_SCHEMA.COLUMNS c
  ON c.TABLE_SCHEMA = k.TABLE_SCHEMA AND c.TABLE_NAME = k.TABLE_NAME AND c.COLUMN_NAME = k.COLUMN_NAME
WHERE o.CONSTRAINT_TYPE IN ('PRIMARY KEY', 'UNIQUE'){named}
ORDER BY o.TABLE_SCHEMA, o.TABLE_NAME, o.CONSTRAINT_NAME, k.ORDINAL_POSITION
"""
"""A row a column of a primary key or a unique constraint: schema, table, its name, primary, column, nullable."""

SYNONYMS = {
    "integer": "int",
    "dec": "decimal",
    "double precision": "float",
    "boolean": "bit",
    "character": "char",
    "char varying": "varchar",
    "character varying": "varchar",
    "national char": "nchar",
    "national character": "nchar",
    "national char varying": "nvarchar",
    "national character varying": "nvarchar",
    "binary varying": "varbinary",
    "time without time zone": "time",
    "timestamp without time zone": "datetime2",
    "timestamp with time zone": "datetimeoffset",
}
"""The standard's names of types, which another server may use, and SQL Server's. Its `timestamp` is no time."""
