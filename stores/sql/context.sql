-- name: conversations_by_words
SELECT * FROM context.conversations
WHERE to_tsvector('simple', content) @@ to_tsquery('simple', :words)
ORDER BY ts DESC, id DESC LIMIT :limit;

-- name: conversations_holding
SELECT * FROM context.conversations WHERE content ILIKE :pattern ORDER BY ts DESC, id DESC LIMIT :limit;

-- name: content_by_words
SELECT * FROM context.context_content
WHERE is_active AND (CAST(:content_type AS text) IS NULL OR content_type = :content_type)
    AND to_tsvector('simple', (coalesce(title, '') || ' ') || content) @@ to_tsquery('simple', :words)
ORDER BY updated_at DESC, id DESC LIMIT :limit;

-- name: content_holding
SELECT * FROM context.context_content
WHERE is_active AND (CAST(:content_type AS text) IS NULL OR content_type = :content_type)
    AND (content ILIKE :pattern OR title ILIKE :pattern)
ORDER BY updated_at DESC, id DESC LIMIT :limit;
