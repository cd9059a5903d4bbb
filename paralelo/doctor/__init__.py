"""Is everything in place for a sync? Each check looks at one thing, and each finding says what to do."""
