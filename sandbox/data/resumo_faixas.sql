CREATE TABLE dbo.resumo_faixas (
    id int IDENTITY(1,1) NOT NULL, CONT_ID smallint NULL, CREDOR varchar(30) NULL, FAIXA_CREDOR varchar(30) NULL,
    FAIXA_CREDOR_MJ varchar(30) NULL, FX_PLANOPG varchar(20) NULL, FX_DEBITO varchar(30) NULL,
    FX_DEBITO_TOTAL varchar(30) NULL, FX_CONT varchar(20) NULL, tipo_pnp varchar(10) NULL, FX_PLANO varchar(20) NULL,
    FX_PARC varchar(30) NULL, DESC_STATUS varchar(20) NULL, FX_DEFASAGEM varchar(20) NULL, TOTAL_CONTRATO int NULL,
    SALDO_CONTRATO decimal(38,2) NULL, DATA_BASE varchar(10) NULL, STATUS int NOT NULL, mod_ts datetime2(7) NOT NULL,
    CONSTRAINT PK_resumo_faixas PRIMARY KEY CLUSTERED (id)
)
