"""The entities the stand-in has, as values: each field's name, declared type and how its value is generated.

A value's SQL may use `i` (the row's number from 0) and `h(n)`, a hash of the row, the seed and n; so the same seed
and number of rows always give the same data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SIZE_OF = {"allocation": 1.0, "order_dtl": 0.3, "order_hdr": 0.1}
"""Rows of each entity for one allocation row."""


@dataclass(frozen=True)
class Field:
    """One field: its name and type in `describe`, its column in the stand-in's tables, its value's SQL.

    `length` is `max_length`; `digits` and `places` are those of a decimal; `entity` is what a relation points to.
    """

    name: str
    type: str
    value: str
    length: int | None = None
    digits: int | None = None
    places: int | None = None
    entity: str | None = None
    required: bool = False

    @property
    def sql_type(self) -> str:
        """The column's type in DuckDB; a relation is held as its id, a set as its size."""
        if self.type == "decimal":
            return f"DECIMAL({self.digits},{self.places})"
        return _SQL_TYPES[self.type]


_SQL_TYPES = {
    "pk": "BIGINT",
    "integer": "BIGINT",
    "number": "DECIMAL(18,4)",
    "varchar": "VARCHAR",
    "char": "VARCHAR",
    "text": "VARCHAR",
    "clob": "VARCHAR",
    "boolean": "BOOLEAN",
    "datetime": "TIMESTAMP",
    "date": "DATE",
    "time": "TIME",
    "relation": "BIGINT",
    "set": "BIGINT",
}


@dataclass(frozen=True)
class Entity:
    """One entity: fields in the order the API answers them in; `fill` is what fraction of the ids is taken."""

    name: str
    fields: tuple[Field, ...]
    first_id: int = 1
    spread: tuple[int, int] = (5, 4)
    gap_every: int = 400_000
    gap: int = 1_000_000
    by_name: dict[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {one.name: one for one in self.fields})

    @property
    def id_sql(self) -> str:
        """A row's id by its number: ascending, with small holes everywhere and a large one now and then."""
        more, less = self.spread
        return f"{self.first_id} + (i * {more}) // {less} + (i // {self.gap_every}) * {self.gap}"


def _often(chance: int, value: str, n: int) -> str:
    """The value in `chance` of 100 rows, else NULL."""
    return f"CASE WHEN h({n}) % 100 < {chance} THEN {value} END"


def _moment(n: int, days: int = 700) -> str:
    return (
        f"TIMESTAMP '2023-01-01' + INTERVAL (h({n}) % {days * 86_400}) SECOND"
        f" + INTERVAL (h({n + 1}) % 1000000) MICROSECOND"
    )


def _pk() -> Field:
    return Field("id", "pk", "id", required=True)


def _user(name: str, n: int) -> Field:
    return Field(name, "varchar", f"'user' || (h({n}) % 40)", length=25)


def _text(name: str, length: int, n: int, chance: int = 60) -> Field:
    prefix = "".join(part[0] for part in name.split("_")).upper()
    value = (
        f"left('{prefix}-' || (h({n}) % 100000) || CASE h({n}) % 50 WHEN 0 THEN ' ção \"ñ\" €' ELSE '' END, {length})"
    )
    return Field(name, "varchar", _often(chance, value, n + 7), length=length)


def _integer(name: str, below: int, n: int, chance: int = 100) -> Field:
    return Field(name, "integer", _often(chance, f"(h({n}) % {below})::BIGINT", n + 3))


def _decimal(name: str, digits: int, places: int, n: int, chance: int = 100) -> Field:
    value = f"((h({n}) % 100000000)::BIGINT / {10**places}.0)::DECIMAL({digits},{places})"
    return Field(name, "decimal", _often(chance, value, n + 5), digits=digits, places=places)


def _flag(name: str, n: int) -> Field:
    return Field(name, "boolean", f"h({n}) % 2 = 0")


def _when(name: str, n: int, chance: int = 70) -> Field:
    return Field(name, "datetime", _often(chance, _moment(n), n + 9))


def _day(name: str, n: int, chance: int = 70) -> Field:
    return Field(name, "date", _often(chance, f"DATE '2024-01-01' + (h({n}) % 700)::INTEGER", n + 9))


def _relation(name: str, entity: str, below: int, n: int, chance: int = 100) -> Field:
    return Field(name, "relation", _often(chance, f"(1 + h({n}) % {below})::BIGINT", n + 2), entity=entity)


def _set(name: str, n: int) -> Field:
    return Field(name, "set", _often(90, f"(h({n}) % 12)::BIGINT", n + 1))


def _audit() -> tuple[Field, ...]:
    return (
        _user("create_user", 11),
        Field("create_ts", "datetime", _moment(13)),
        _user("mod_user", 17),
        Field("mod_ts", "datetime", f"{_moment(13)} + INTERVAL (h(19) % 864000) SECOND"),
    )


ALLOCATION = Entity(
    "allocation",
    first_id=7_000_000_000,
    fields=(
        _pk(),
        _decimal("alloc_qty", 18, 5, 101),
        _decimal("packed_qty", 18, 5, 111, chance=80),
        _relation("alloc_uom_id", "uom", 4, 121),
        _relation("from_inventory_id", "inventory", 9_000_000_000, 131),
        _relation("to_inventory_id", "inventory", 9_000_000_000, 141, chance=70),
        _relation("order_dtl_id", "order_dtl", 300_000_000, 151),
        _relation("type_id", "allocation_type", 6, 161),
        _integer("status_id", 100, 171),
        _integer("wave_id", 10_000_000, 181, chance=90),
        _integer("task_id", 90_000_000, 191, chance=80),
        _integer("task_seq_nbr", 200, 201, chance=80),
        _flag("is_picking_flg", 211),
        _text("pick_user", 25, 221),
        _when("picked_ts", 231),
        _text("pick_locn_str", 20, 241),
        *_audit(),
    ),
)

_HDR_TEXTS = (
    ("order_nbr", 50), ("ord_type_descr", 50), ("cust_name", 100), ("cust_addr", 100), ("cust_addr2", 100),
    ("cust_addr3", 100), ("ref_nbr", 50), ("cust_city", 50), ("cust_state", 25), ("cust_zip", 25),
    ("cust_country", 25), ("cust_phone_nbr", 25), ("cust_email", 100), ("cust_contact", 50), ("cust_nbr", 50),
    ("shipto_name", 100), ("shipto_addr", 100), ("shipto_addr2", 100), ("shipto_addr3", 100), ("shipto_city", 50),
    ("shipto_state", 25), ("shipto_zip", 25), ("shipto_country", 25), ("shipto_phone_nbr", 25), ("shipto_email", 100),
    ("shipto_contact", 50), ("carrier_account_nbr", 50), ("host_allocation_nbr", 50), ("customer_po_nbr", 50),
    ("sales_order_nbr", 50), ("sales_channel", 25), ("dest_dept_nbr", 25), ("vas_group_code", 25),
    ("currency_code", 10), ("route_nbr", 25), ("externally_planned_load_nbr", 50), ("erp_source_hdr_ref", 50),
    ("duties_payment_method", 25), ("spl_instr", 250),
)  # fmt: skip

ORDER_HDR = Entity(
    "order_hdr",
    first_id=40_000_000,
    fields=(
        _pk(),
        _relation("facility_id", "facility", 12, 301),
        _relation("company_id", "company", 5, 311),
        _relation("order_type_id", "order_type", 8, 321),
        _relation("dest_facility_id", "facility", 12, 331, chance=20),
        _relation("dest_company_id", "company", 5, 341, chance=20),
        _relation("ship_via_id", "ship_via", 30, 351, chance=60),
        _relation("payment_method_id", "payment_method", 6, 361, chance=50),
        _relation("customer_id", "customer", 80_000, 371, chance=95),
        _integer("status_id", 100, 381),
        _integer("priority", 10, 391),
        *(_text(name, length, 1000 + 10 * n) for n, (name, length) in enumerate(_HDR_TEXTS)),
        _day("ord_date", 401, chance=100),
        _day("exp_date", 411),
        _day("req_ship_date", 421),
        _when("start_ship_date", 431),
        _when("stop_ship_date", 441),
        _when("sched_ship_date", 451, chance=40),
        _when("order_shipped_ts", 461, chance=50),
        *(_text(f"cust_field_{n}", 50, 2000 + 10 * n, chance=25) for n in range(1, 6)),
        *(_text(f"cust_short_text_{n}", 50, 2100 + 10 * n, chance=10) for n in range(1, 4)),
        *(_decimal(f"cust_decimal_{n}", 18, 5, 2200 + 10 * n, chance=10) for n in range(1, 4)),
        *(_integer(f"cust_number_{n}", 10**9, 2300 + 10 * n, chance=10) for n in range(1, 4)),
        _decimal("total_orig_ord_qty", 18, 5, 471),
        Field("total_declared_value", "number", _often(60, "((h(481) % 100000000)::BIGINT / 10000.0)", 482)),
        Field("gift_msg", "clob", _often(5, "repeat('Feliz aniversário, com amor. ', 1 + (h(491) % 4)::INTEGER)", 492)),
        _flag("is_residential_flg", 501),
        _flag("partial_shipment_flg", 511),
        _set("order_dtl_set", 521),
        _set("order_instructions_set", 531),
        *_audit(),
    ),
)  # fmt: skip

ORDER_DTL = Entity(
    "order_dtl",
    first_id=200_000_000,
    fields=(
        _pk(),
        _relation("order_id", "order_hdr", 90_000_000, 601),
        _integer("seq_nbr", 500, 611),
        _relation("item_id", "item", 300_000, 621),
        _relation("uom_id", "uom", 4, 631),
        _relation("invn_attr_id", "invn_attr", 100_000, 641, chance=30),
        _relation("vas_activity_id", "vas_activity", 20, 651, chance=5),
        _decimal("ord_qty", 18, 5, 661),
        _decimal("orig_ord_qty", 18, 5, 671),
        _decimal("alloc_qty", 18, 5, 681),
        _decimal("req_cntr_nbr_qty", 18, 5, 691, chance=5),
        _decimal("shipped_qty", 18, 5, 701, chance=50),
        _decimal("cost", 18, 5, 711, chance=60),
        _decimal("sale_price", 18, 5, 721, chance=60),
        _decimal("unit_declared_value", 18, 5, 731, chance=40),
        _decimal("big_ref_value", 38, 8, 741, chance=5),
        _integer("status_id", 100, 751),
        *(
            _text(name, length, 3000 + 10 * n, chance=35)
            for n, (name, length) in enumerate(
                (
                    ("req_cntr_nbr", 50), ("host_ob_lpn_nbr", 50), ("po_nbr", 50), ("shipment_nbr", 50),
                    ("dest_facility_attr_a", 25), ("dest_facility_attr_b", 25), ("dest_facility_attr_c", 25),
                    ("ref_nbr_1", 50), ("vas_activity_code", 25), ("spl_instr", 250), ("uom_code_orig", 10),
                    ("batch_nbr", 50), ("serial_nbr", 50), ("erp_source_line_ref", 50), ("erp_source_shipment_ref", 50),
                    ("erp_fulfillment_line_ref", 50), ("external_system_item_ref", 50), ("voucher_nbr", 50),
                )
            )
        ),
        *(_text(f"cust_field_{n}", 50, 3300 + 10 * n, chance=15) for n in range(1, 6)),
        *(_day(f"cust_date_{n}", 3400 + 10 * n, chance=10) for n in range(1, 4)),
        _day("expiry_date", 761, chance=30),
        Field("cutoff_time", "time", _often(30, "TIME '00:00:00' + INTERVAL (h(771) % 86400) SECOND", 772)),
        _flag("is_rpcid_flg", 781),
        _flag("min_shipping_tolerance_flg", 791),
        _set("allocation_set", 801),
        *_audit(),
    ),
)  # fmt: skip

ENTITIES = {entity.name: entity for entity in (ALLOCATION, ORDER_HDR, ORDER_DTL)}


def with_hash(value: str, seed: int) -> str:
    """The value's SQL with every `h(n)` spelled out."""
    return re.sub(r"\bh\((\d+)\)", rf"hash(i, \1 + {seed})", value)
