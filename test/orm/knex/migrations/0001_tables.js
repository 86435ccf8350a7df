// Makes the site's tables.
exports.up = async (knex) => {
    await knex.schema.createTable('release', (table) => {
        table.bigIncrements('id');
        table.string('title').notNullable();
    });
    await knex.schema.createTable('track', (table) => {
        table.string('entry_key', 100).primary();
        table.bigInteger('release_id').references('release.id');
        table.boolean('is_deleted').notNullable().defaultTo(false);
    });
    await knex.schema.createTable('play_event', (table) => {
        table.bigIncrements('id');
        table.string('track_entry_key', 100).notNullable();
        table.bigInteger('release_id');
        table.enu('bucket', ['partial', 'most', 'complete']).notNullable();
        table.uuid('event_id').unique();
        table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    });
};

exports.down = async (knex) => {
    await knex.schema.dropTable('play_event').dropTable('track').dropTable('release');
};
