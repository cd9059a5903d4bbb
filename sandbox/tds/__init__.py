"""TDS, SQL Server's wire protocol: what goes over the socket, and nothing of what SQL means."""
