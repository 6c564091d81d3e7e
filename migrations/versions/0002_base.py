"""The base: changes, summaries, work lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "listed_customers",
        sa.Column("customer_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("words", sa.Text().with_variant(postgresql.TSVECTOR(), "postgresql"), nullable=False),
        sa.Column(
            "ref", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "name", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "city", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "region",
            sa.String(length=80).with_variant(sa.String(length=80, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "sales_rep",
            sa.String(length=80).with_variant(sa.String(length=80, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "channel",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "segment",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "activity",
            sa.String(length=16).with_variant(sa.String(length=16, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("frequency", sa.Integer(), nullable=False),
        sa.Column("revenue_year", sa.Double(), nullable=False),
        sa.Column("contribution_year", sa.Double(), nullable=False),
        sa.Column("potential", sa.Double(), nullable=False),
        sa.Column("last_order", sa.Date(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_listed_customers")),
    )
    for name in (
        "ref",
        "name",
        "city",
        "region",
        "sales_rep",
        "channel",
        "segment",
        "activity",
        "frequency",
        "revenue_year",
        "contribution_year",
        "potential",
        "last_order",
    ):
        op.create_index(f"ix_listed_customers_{name}", "listed_customers", [name, "customer_id"])
    op.create_index(
        "ix_listed_customers_facets",
        "listed_customers",
        ["segment", "activity", "region", "channel", "sales_rep", "missing", "revenue_year", "last_order"],
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("customer_words", "listed_customers", ["words"], postgresql_using="gin")
    else:
        op.execute(
            "CREATE VIRTUAL TABLE customer_words USING fts5(words, content='listed_customers', content_rowid='customer_id', columnsize=0, prefix='2')"
        )
    op.create_table(
        "list_marks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("audit_id", sa.Integer(), nullable=False),
        sa.Column("cursor", sa.Integer(), nullable=True),
        sa.Column("customers", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_list_marks")),
    )
    op.create_table(
        "base_summaries",
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("data", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("as_of", name=op.f("pk_base_summaries")),
    )
    op.create_table(
        "column_maps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("header_digest", sa.String(length=64), nullable=False),
        sa.Column("columns", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("reading", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_column_maps")),
        sa.UniqueConstraint("kind", "header_digest", name=op.f("uq_column_maps_kind_header_digest")),
    )
    op.create_table(
        "confidentiality_acceptances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("text_hash", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_confidentiality_acceptances")),
        sa.UniqueConstraint("actor", "text_hash", name=op.f("uq_confidentiality_acceptances_actor_text_hash")),
    )
    op.create_table(
        "saved_views",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("query", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_views")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_saved_views_owner_name")),
    )
    op.create_table(
        "completions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("fields", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("priority", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("claimed_by", sa.String(length=254), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.String(length=400), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_by", sa.String(length=254), nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_completions_customer_id_customers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_completions")),
        sa.UniqueConstraint("customer_id", name=op.f("uq_completions_customer_id")),
    )
    op.create_index("ix_completions_next", "completions", ["state", "priority"])

    op.create_table(
        "customer_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("import_id", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("before", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("after", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "by_hand", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), server_default="[]", nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.id"],
            name=op.f("fk_customer_changes_customer_id_customers"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name=op.f("fk_customer_changes_import_id_imports")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer_changes")),
    )
    with op.batch_alter_table("customer_changes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_customer_changes_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_customer_changes_import_id"), ["import_id"], unique=False)

    op.create_table(
        "duplicates",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("first_id", sa.Integer(), nullable=False),
        sa.Column("second_id", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.String(length=254), nullable=True),
        sa.ForeignKeyConstraint(
            ["first_id"], ["customers.id"], name=op.f("fk_duplicates_first_id_customers"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["second_id"], ["customers.id"], name=op.f("fk_duplicates_second_id_customers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duplicates")),
        sa.UniqueConstraint("first_id", "second_id", name=op.f("uq_duplicates_first_id_second_id")),
    )
    with op.batch_alter_table("duplicates", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_duplicates_second_id"), ["second_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_duplicates_state"), ["state"], unique=False)

    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("street", sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column("legal_entity", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("sector", sa.String(length=80), nullable=True))
        batch_op.add_column(sa.Column("size", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("channel", sa.String(length=64), nullable=True))
        batch_op.add_column(
            sa.Column(
                "by_hand", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), server_default="[]", nullable=False
            )
        )
        batch_op.add_column(sa.Column("created_by_import_id", sa.Integer(), nullable=True))
        batch_op.drop_constraint(batch_op.f("fk_customers_import_id_imports"), type_="foreignkey")

    with op.batch_alter_table("imports", schema=None) as batch_op:
        batch_op.add_column(sa.Column("state", sa.String(length=16), server_default="done", nullable=False))
        batch_op.add_column(sa.Column("total", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("changed", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("cursor", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("staged", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("rejects", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("undone_by", sa.String(length=254), nullable=True))
        batch_op.add_column(sa.Column("upload", sa.String(length=32), nullable=True))
        batch_op.create_index(batch_op.f("ix_imports_upload"), ["upload"], unique=False)
        batch_op.add_column(sa.Column("kept", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("replaced", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("repeat", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("continues", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("remaining", sa.Integer(), nullable=True))
        batch_op.create_index(batch_op.f("ix_imports_state"), ["state"], unique=False)
        running = sa.text("state = 'running'")
        batch_op.create_index(
            "uq_imports_running", ["kind"], unique=True, sqlite_where=running, postgresql_where=running
        )
        facts = sa.text("fact_file IS NOT NULL")
        batch_op.drop_index("uq_imports_facts")
        batch_op.create_index(
            "uq_imports_facts", ["kind", "sha256", "repeat"], unique=True, sqlite_where=facts, postgresql_where=facts
        )

    with op.batch_alter_table("movements", schema=None) as batch_op:
        batch_op.add_column(sa.Column("as_of", sa.Date(), nullable=True))
        batch_op.add_column(
            sa.Column(
                "facts", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), server_default="{}", nullable=False
            )
        )
        batch_op.add_column(sa.Column("state", sa.String(length=16), server_default="applied", nullable=False))
        batch_op.add_column(sa.Column("channel_before", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("channel_after", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("decided_by", sa.String(length=254), nullable=True))
        batch_op.create_index(batch_op.f("ix_movements_state"), ["state"], unique=False)

    with op.batch_alter_table("profiles", schema=None) as batch_op:
        batch_op.add_column(sa.Column("order_days", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("interval_change", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("revenue_before", sa.Double(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("cancelled", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("touches_year", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("minutes_year", sa.Double(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("cost_year", sa.Double(), server_default="0", nullable=False))
        batch_op.add_column(
            sa.Column(
                "touched", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), server_default="{}", nullable=False
            )
        )
        batch_op.add_column(sa.Column("contribution_year", sa.Double(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("peer_revenue", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("potential", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("value_rank", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("segment_since", sa.Date(), nullable=True))
        batch_op.add_column(sa.Column("candidate", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("candidate_since", sa.Date(), nullable=True))
        batch_op.add_column(
            sa.Column("candidate_facts", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True)
        )

    with op.batch_alter_table("segments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("settle_days", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("approval", sa.Boolean(), server_default=sa.text("false"), nullable=False))



def downgrade() -> None:
    with op.batch_alter_table("segments", schema=None) as batch_op:
        batch_op.drop_column("approval")
        batch_op.drop_column("settle_days")

    with op.batch_alter_table("profiles", schema=None) as batch_op:
        batch_op.drop_column("candidate_facts")
        batch_op.drop_column("candidate_since")
        batch_op.drop_column("candidate")
        batch_op.drop_column("segment_since")
        batch_op.drop_column("value_rank")
        batch_op.drop_column("potential")
        batch_op.drop_column("peer_revenue")
        batch_op.drop_column("contribution_year")
        batch_op.drop_column("touched")
        batch_op.drop_column("cost_year")
        batch_op.drop_column("minutes_year")
        batch_op.drop_column("touches_year")
        batch_op.drop_column("cancelled")
        batch_op.drop_column("revenue_before")
        batch_op.drop_column("interval_change")
        batch_op.drop_column("order_days")

    with op.batch_alter_table("movements", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_movements_state"))
        batch_op.drop_column("decided_by")
        batch_op.drop_column("decided_at")
        batch_op.drop_column("channel_after")
        batch_op.drop_column("channel_before")
        batch_op.drop_column("state")
        batch_op.drop_column("facts")
        batch_op.drop_column("as_of")

    with op.batch_alter_table("imports", schema=None) as batch_op:
        facts = sa.text("fact_file IS NOT NULL")
        batch_op.drop_index("uq_imports_facts")
        batch_op.create_index(
            "uq_imports_facts", ["kind", "sha256"], unique=True, sqlite_where=facts, postgresql_where=facts
        )
        batch_op.drop_column("remaining")
        batch_op.drop_column("continues")
        batch_op.drop_column("repeat")
        batch_op.drop_column("replaced")
        batch_op.drop_column("kept")
        batch_op.drop_index("uq_imports_running")
        batch_op.drop_index(batch_op.f("ix_imports_state"))
        batch_op.drop_index(batch_op.f("ix_imports_upload"))
        batch_op.drop_column("undone_by")
        batch_op.drop_column("undone_at")
        batch_op.drop_column("rejects")
        batch_op.drop_column("staged")
        batch_op.drop_column("lease_until")
        batch_op.drop_column("cursor")
        batch_op.drop_column("changed")
        batch_op.drop_column("total")
        batch_op.drop_column("state")

    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.create_foreign_key(batch_op.f("fk_customers_import_id_imports"), "imports", ["import_id"], ["id"])
        batch_op.drop_column("created_by_import_id")
        batch_op.drop_column("by_hand")
        batch_op.drop_column("channel")
        batch_op.drop_column("size")
        batch_op.drop_column("sector")
        batch_op.drop_column("legal_entity")
        batch_op.drop_column("street")

    with op.batch_alter_table("duplicates", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_duplicates_state"))
        batch_op.drop_index(batch_op.f("ix_duplicates_second_id"))

    op.drop_table("list_marks")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE customer_words")
    op.drop_table("listed_customers")
    op.drop_table("duplicates")
    with op.batch_alter_table("customer_changes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_customer_changes_import_id"))
        batch_op.drop_index(batch_op.f("ix_customer_changes_customer_id"))

    op.drop_table("customer_changes")
    with op.batch_alter_table("completions", schema=None) as batch_op:
        batch_op.drop_index("ix_completions_next")

    op.drop_table("completions")
    op.drop_table("saved_views")
    op.drop_table("confidentiality_acceptances")
    op.drop_table("column_maps")
    op.drop_table("base_summaries")
