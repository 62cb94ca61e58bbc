-- Dead letters are replayed, and what is settled by hand is forbidden to late copies of its command. The release
-- before goes on working: what is new may be missing, and nothing that it relies on is taken away.

ALTER TABLE dead_letters
    ADD COLUMN routing_key text,
    ADD COLUMN times_seen int NOT NULL DEFAULT 1 CHECK (times_seen > 0);

-- An order may be about a dead letter that belongs to no saga (the release before refuses such an order), and
-- tells where the saga stood when it was given.
ALTER TABLE orders
    ALTER COLUMN tenant_id DROP NOT NULL,
    ALTER COLUMN saga_id DROP NOT NULL,
    ADD COLUMN dead_letter_id uuid REFERENCES dead_letters,
    ADD COLUMN step text,
    ADD COLUMN direction text CHECK (direction IN ('do', 'undo')),
    ADD COLUMN attempt int,
    ADD CHECK (saga_id IS NULL OR tenant_id IS NOT NULL),
    ADD CHECK (saga_id IS NOT NULL OR dead_letter_id IS NOT NULL),
    ADD CHECK (dead_letter_id IS NULL OR kind = 'replay'),
    ADD CHECK ((step IS NULL) = (direction IS NULL) AND (step IS NULL) = (attempt IS NULL));

GRANT INSERT (tenant_id, saga_id, step, direction, state), UPDATE (state, owed, updated_at) ON effects
    TO leadsaga_operator;
CREATE POLICY operator_forbid_new ON effects FOR INSERT TO leadsaga_operator
    WITH CHECK (tenant_id = (SELECT current_tenant()) AND direction = 'do' AND state = 'undone');
CREATE POLICY operator_forbid ON effects FOR UPDATE TO leadsaga_operator
    USING (tenant_id = (SELECT current_tenant()) AND direction = 'do')
    WITH CHECK (tenant_id = (SELECT current_tenant()) AND direction = 'do' AND state = 'undone');
