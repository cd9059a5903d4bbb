"""The Singer face of the rules: any tap that brings a `Source` gets full and incremental syncs from here."""
