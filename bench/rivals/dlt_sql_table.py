"""dlt as its documentation copies a table: `sql_table` with the pyarrow backend over SQLAlchemy, Parquet files."""

import os

import dlt
from dlt.sources.sql_database import sql_table
from sqlalchemy import URL, create_engine

e = os.environ
source = create_engine(
    URL.create(
        "mssql+mssqlpython",
        e["TAP_MSSQL_USER"],
        e["TAP_MSSQL_PASSWORD"],
        e["TAP_MSSQL_HOST"],
        int(e["TAP_MSSQL_PORT"]),
        e["TAP_MSSQL_DATABASE"],
        {"Encrypt": "yes", "TrustServerCertificate": "yes"},
    )
)
rows = sql_table(
    source,
    e["BENCH_TABLE"],
    schema="dbo",
    backend="pyarrow",
    chunk_size=50_000,
    reflection_level="full_with_precision",
)
rows.apply_hints(write_disposition="replace", columns={"mod_ts": {"data_type": "timestamp", "timezone": False}})
target = (
    f"postgresql://{e['TARGET_POSTGRES_USER']}:{e['TARGET_POSTGRES_PASSWORD']}@{e['TARGET_POSTGRES_HOST']}"
    f":{e['TARGET_POSTGRES_PORT']}/{e['TARGET_POSTGRES_DATABASE']}"
)
pipeline = dlt.pipeline(
    "bench_sql",
    destination=dlt.destinations.postgres(target),
    dataset_name="bench_dlt_sql",
    pipelines_dir=e["BENCH_WORK"],
)
pipeline.run(rows, loader_file_format="parquet").raise_on_failed_jobs()
