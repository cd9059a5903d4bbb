"""The two source tables, chunk by chunk: realistic shares of NULL, skewed towns and ranges, a few extremes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import pyarrow as pa

from . import DATABASE, TABLES
from .draw import LATEST, Draw

CHUNK = 100_000
SMALL, WHOLE = pa.int16(), pa.int32()
TOWNS = [
    ("São Paulo", "SP"),
    ("Rio de Janeiro", "RJ"),
    ("Brasília", "DF"),
    ("Fortaleza", "CE"),
    ("Salvador", "BA"),
    ("Belo Horizonte", "MG"),
    ("Manaus", "AM"),
    ("Curitiba", "PR"),
    ("Recife", "PE"),
    ("Goiânia", "GO"),
    ("Belém", "PA"),
    ("Porto Alegre", "RS"),
    ("Guarulhos", "SP"),
    ("Campinas", "SP"),
    ("São Luís", "MA"),
    ("Maceió", "AL"),
    ("Campo Grande", "MS"),
    ("São Gonçalo", "RJ"),
    ("Teresina", "PI"),
    ("João Pessoa", "PB"),
    ("Duque de Caxias", "RJ"),
    ("Nova Iguaçu", "RJ"),
    ("São Bernardo do Campo", "SP"),
    ("Natal", "RN"),
    ("Santo André", "SP"),
    ("Osasco", "SP"),
    ("Sorocaba", "SP"),
    ("Uberlândia", "MG"),
    ("Ribeirão Preto", "SP"),
    ("Cuiabá", "MT"),
    ("Jaboatão dos Guararapes", "PE"),
    ("Feira de Santana", "BA"),
    ("Joinville", "SC"),
    ("Aracaju", "SE"),
    ("Londrina", "PR"),
    ("Ananindeua", "PA"),
    ("Florianópolis", "SC"),
    ("Macapá", "AP"),
    ("Niterói", "RJ"),
    ("Vila Velha", "ES"),
    ("Mogi das Cruzes", "SP"),
    ("Jundiaí", "SP"),
    ("Porto Velho", "RO"),
    ("Maringá", "PR"),
    ("Rio Branco", "AC"),
    ("Boa Vista", "RR"),
    ("Palmas", "TO"),
    ("Vitória", "ES"),
    ("São João del-Rei", "MG"),
    ("Santa Bárbara d'Oeste", "SP"),
    ("Poços de Caldas", "MG"),
    ("Açailândia", "MA"),
]
RANGES = [
    "0 a 30 dias",
    "31 a 60 dias",
    "61 a 90 dias",
    "91 a 180 dias",
    "181 a 360 dias",
    "361 a 720 dias",
    "Acima de 720 dias",
    "Em análise",
    "Não classificado",
]
RANGES_MJ = ["Até R$ 500", "R$ 501 a R$ 1.000", "R$ 1.001 a R$ 5.000", "R$ 5.001 a R$ 20.000", "Acima de R$ 20.000"]
CREDITORS = [
    "Consórcio Nacional",
    "Financeira Horizonte",
    "Veículos São Jorge",
    "Cartão Ipê",
    "Móveis Araçá",
    "Educação à Distância",
    "Telefonia Sabiá",
    "Crédito Rápido Açaí",
]
ACTIONS = [
    "Telefone não atende",
    "Promessa de pagamento",
    "Recado com terceiro",
    "Acordo em negociação",
    "Número inexistente",
    "Cliente solicitou boleto",
    "Ligação interrompida",
    "Já efetuou o pagamento",
    "Sem condições no momento",
    "Endereço não localizado",
    "Contestação de dívida",
]
STATUSES = ["ATIVO", "QUITADO", "SUSPENSO", "DEVOLUÇÃO", "JURÍDICO"]


def definition(table: str) -> str:
    """The table's T-SQL."""
    return resources.files(__package__).joinpath(f"{table}.sql").read_text(encoding="utf-8")


def chunks(table: str, rows: int, seed: int) -> Iterator[pa.Table]:
    """The rows of a table, `CHUNK` at a time, in the table's column order; equal for equal arguments."""
    make = {"bi_credores": _credores, "resumo_faixas": _faixas}[table]
    last = 0
    for number, start in enumerate(range(0, rows, CHUNK)):
        draw = Draw((seed, len(table), number), min(CHUNK, rows - start))
        made = make(draw, last, rows)
        last = made.column("id")[-1].as_py()
        yield made


def _credores(d: Draw, last: int, total: int) -> pa.Table:
    town = d.ranks(len(TOWNS), skew=1.1)
    past = (LATEST - 1500, LATEST)
    return pa.table(
        {
            "id": pa.array(d.sparse_ids(last)),
            "CPF": d.cpf(total * 7 // 10),
            "DEVEDOR_ID": pa.array(d.random.integers(1, 10**10, d.rows)),
            "CONT_ID": d.integers(1, 320, SMALL, 0.02),
            "NUMERO_CONTRATO": d.labelled("CT", 12, 10**11, 0.01),
            "ACORDO_ID": d.labelled("A", 8, 10**8, 0.6),
            "MIN_VENCIMENTO": d.dates(LATEST - 2500, LATEST, 0.03, 0.00005),
            "MAX_VENCIMENTO": d.dates(LATEST - 700, LATEST + 1500, 0.03, 0.00005),
            "PLANO": d.integers(1, 84, SMALL, 0.05),
            "MIN_PARCELAS": d.integers(1, 48, SMALL, 0.05),
            "MAX_PARCELAS": d.integers(1, 96, SMALL, 0.05),
            "MAX_ATRASO": d.integers(0, 4000, WHOLE, 0.02),
            "TT_PARCELAS": d.integers(1, 240, WHOLE, 0.02),
            "CIDADE": pa.array([t for t, _ in TOWNS]).take(town),
            "UF": _with_nulls(d, pa.array([u for _, u in TOWNS]).take(town)),
            "DATA_BATIMENTO": d.dates(*past, 0.1),
            "DATA_INCLUSAO": d.dates(*past, 0.01),
            "DATA_IMPORTACAO": d.dates(*past, 0.01),
            "DATA_VENCIMENTO_ANTIGO": d.dates(LATEST - 4000, LATEST, 0.2),
            "DATA_ULTIMO_ACIONAMENTO": d.dates(LATEST - 300, LATEST, 0.35),
            "DATA_PROXIMO_ACIONAMENTO": d.dates(LATEST, LATEST + 60, 0.7),
            "ACAO_ID": d.integers(1, 60, WHOLE, 0.35),
            "SALDO": d.amounts(0.01),
            "SALDO_DEV_TT": d.amounts(0.01),
            "TT_CONTRATOS": d.integers(1, 12, WHOLE, 0.02),
            "CPC": d.integers(0, 3, WHOLE, 0.4),
            "FAIXA_CREDOR": d.choice(RANGES, 0.05),
            "FAIXA_CREDOR_MJ": d.choice(RANGES_MJ, 0.2),
            "DESCRICAO": d.choice(ACTIONS, 0.35),
            "PER_PLANO_PAGO": d.integers(0, 100, WHOLE, 0.1),
            "PNP": d.integers(0, 6, WHOLE),
            "TOTAL_ESFORCO": d.integers(0, 400, WHOLE),
            "ESFORCO_DISCADOR": d.integers(0, 300, WHOLE),
            "PISITIVAS": d.integers(0, 40, WHOLE),
            "NEGATIVAS": d.integers(0, 80, WHOLE),
            "DATA_BASE": d.dates(LATEST - 30, LATEST, 0.0),
            "STATUS": d.choice(["1"], 0.0).cast(WHOLE),
            "PRODUTO_ID": d.labelled("PRD-", 6, 900, 0.15),
            "DATA_ACIONAMENTO_COLCHAO": d.dates(LATEST - 90, LATEST, 0.85),
            "mod_ts": d.changes(),
        }
    )


def _with_nulls(d: Draw, values: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(pa.array(d.nulls(0.004)), pa.scalar(None, pa.string()), values)


def _faixas(d: Draw, last: int, total: int) -> pa.Table:
    day = pa.array([f"{n % 28 + 1:02}/{n % 12 + 1:02}/2024" for n in range(84)])
    return pa.table(
        {
            "id": pa.array(d.sparse_ids(last)).cast(WHOLE),
            "CONT_ID": d.integers(1, 320, SMALL, 0.02),
            "CREDOR": d.choice(CREDITORS, 0.01),
            "FAIXA_CREDOR": d.choice(RANGES, 0.03),
            "FAIXA_CREDOR_MJ": d.choice(RANGES_MJ, 0.1),
            "FX_PLANOPG": d.choice(["0%", "1 a 25%", "26 a 50%", "51 a 75%", "76 a 99%", "100%"], 0.05),
            "FX_DEBITO": d.choice(RANGES_MJ, 0.02),
            "FX_DEBITO_TOTAL": d.choice(RANGES_MJ, 0.02),
            "FX_CONT": d.choice(["1 contrato", "2 contratos", "3 ou mais"], 0.01),
            "tipo_pnp": d.choice(["PNP", "NÃO PNP"], 0.1),
            "FX_PLANO": d.choice(["1 a 12", "13 a 24", "25 a 36", "37 a 60", "Acima de 60"], 0.02),
            "FX_PARC": d.choice(["1 parcela", "2 a 5 parcelas", "6 a 12 parcelas", "Mais de 12"], 0.02),
            "DESC_STATUS": d.choice(STATUSES, 0.01),
            "FX_DEFASAGEM": d.choice(["Até 30 dias", "31 a 90 dias", "Mais de 90"], 0.3),
            "TOTAL_CONTRATO": d.integers(1, 5000, WHOLE, 0.01),
            "SALDO_CONTRATO": d.amounts(0.01),
            "DATA_BASE": day.take(d.ranks(84, 0.01, 0.3)),
            "STATUS": d.integers(0, 1, WHOLE),
            "mod_ts": d.changes(),
        }
    )


__all__ = ["CHUNK", "DATABASE", "TABLES", "TOWNS", "chunks", "definition"]
