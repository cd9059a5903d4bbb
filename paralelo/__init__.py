"""Operations: what runs, watches, recovers and verifies Paralelo's syncs."""
