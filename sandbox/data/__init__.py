"""Generated data for the two tables the project copies. No person behind any row."""

DATABASE = "BI_CLIENTES"
TABLES = ("bi_credores", "resumo_faixas")
