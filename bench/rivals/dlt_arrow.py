"""dlt at its best: Arrow straight from Microsoft's driver, Parquet files, PostgreSQL by ADBC."""

import os

import dlt
import mssql_python

e = os.environ


@dlt.resource(
    name=e["BENCH_TABLE"],
    write_disposition="replace",
    columns={"mod_ts": {"data_type": "timestamp", "timezone": False}},
)
def rows():
    """The whole table, one query."""
    connection = mssql_python.connect(
        f"SERVER={e['TAP_MSSQL_HOST']},{e['TAP_MSSQL_PORT']};UID={e['TAP_MSSQL_USER']};PWD={e['TAP_MSSQL_PASSWORD']};"
        f"DATABASE={e['TAP_MSSQL_DATABASE']};Encrypt=yes;TrustServerCertificate=yes;"
    )
    cursor = connection.cursor()
    cursor.execute(f"SELECT * FROM dbo.{e['BENCH_TABLE']}")
    yield from cursor.arrow_reader(batch_size=50_000)


target = (
    f"postgresql://{e['TARGET_POSTGRES_USER']}:{e['TARGET_POSTGRES_PASSWORD']}@{e['TARGET_POSTGRES_HOST']}"
    f":{e['TARGET_POSTGRES_PORT']}/{e['TARGET_POSTGRES_DATABASE']}"
)
pipeline = dlt.pipeline(
    "bench", destination=dlt.destinations.postgres(target), dataset_name="bench_dlt", pipelines_dir=e["BENCH_WORK"]
)
pipeline.run(rows(), loader_file_format="parquet").raise_on_failed_jobs()
