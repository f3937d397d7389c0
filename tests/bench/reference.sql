-- A plain table for metering records, as systems without rollups keep it: readable columns, one unique id, no other
-- index.  What the ledger stores is measured against this as well as against its own tables.
CREATE TABLE plain (
    message_id text NOT NULL UNIQUE, correlation_id text, conversation_id text, message_id_ctx text,
    parent_message_id text, message_seq bigint, request_id text, exchange_id text, request_type text, tier text,
    provider text, model_id text, node_id text, worker_id text, agent_id text, task_id text, input_tokens bigint,
    output_tokens bigint, thinking_tokens bigint, total_tokens bigint, latency_ms bigint, wall_clock_ms bigint,
    cost_usd numeric(20,9), routing_reason text, cost_center text, budget_id text, recorded_at text);
