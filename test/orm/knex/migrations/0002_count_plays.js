// Makes a log of the table of plays.
exports.up = async (knex) => {
    await knex.raw('CREATE EXTENSION playevent');
    await knex.raw(`
        SELECT playevent.attach_log('play_event', kinds => '{partial,most,complete}', created_column => 'created_at',
            track => 'track', track_deleted => 'is_deleted', unknown_track => 'reject')
    `);
};

exports.down = async (knex) => {
    await knex.raw(`
        DO $$
        DECLARE
            trigger name;
        BEGIN
            FOR trigger IN
                SELECT t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                 WHERE t.tgrelid = 'play_event'::regclass AND p.pronamespace = 'playevent'::regnamespace
            LOOP
                EXECUTE format('DROP TRIGGER %I ON play_event', trigger);
            END LOOP;
        END $$
    `);
    await knex.raw('DROP TABLE play_counter_slot, play_daily_slot, play_verdict CASCADE');
    await knex.raw('DROP FUNCTION record_play, record_play_heard, record_plays, record_plays_heard, play_bucket_of');
    await knex.raw('ALTER TABLE play_event DROP CONSTRAINT playevent_kinds, DROP COLUMN day');
    await knex.raw('DROP EXTENSION playevent');
};
