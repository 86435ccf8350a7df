// Makes logs of the tables of events.  The roles web and reader are there already.
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace Site.Migrations;

[DbContext(typeof(SiteContext))]
[Migration("20261101000001_CountPlays")]
public class CountPlays : Migration
{
    // DO and PERFORM, and a semicolon: `migrations script --idempotent` puts it into a
    // block of PL/pgSQL.
    protected override void Up(MigrationBuilder migrationBuilder)
    {
        migrationBuilder.Sql("""
            DO $$ BEGIN
                PERFORM playevent.attach_log('"PlayEvents"', name => 'play',
                    key_column => 'TrackEntryKey', release_column => 'ReleaseId',
                    kind_column => 'Bucket', kinds => '{0,1,2}', -- Partial = 0, Most = 1, Complete = 2
                    kind_names => '{partial,most,complete}',
                    event_id_column => 'EventId', listener_column => 'AnonId', created_column => 'CreatedAt',
                    track => '"Tracks"', track_key => 'EntryKey', track_release => 'ReleaseId',
                    track_deleted => 'IsDeleted', unknown_track => 'reject',
                    ingest_role => 'web', reader_role => 'reader');
            END $$;
            """);
        migrationBuilder.Sql("""
            DO $$ BEGIN
                PERFORM playevent.attach_log('"ShareEvents"', name => 'share',
                    key_column => 'TrackEntryKey', release_column => 'ReleaseId',
                    kind_column => 'Channel', kinds => '{link,native,embed}',
                    event_id_column => 'EventId', created_column => 'CreatedAt',
                    track => '"Tracks"', track_key => 'EntryKey', track_release => 'ReleaseId',
                    track_deleted => 'IsDeleted', unknown_track => 'reject',
                    ingest_role => 'web', reader_role => 'reader');
            END $$;
            """);
        migrationBuilder.Sql("""GRANT SELECT ON "Tracks", "Releases" TO reader;""");
    }

    protected override void Down(MigrationBuilder migrationBuilder)
    {
        migrationBuilder.Sql("""REVOKE SELECT ON "Tracks", "Releases" FROM reader;""");
        migrationBuilder.Sql("""
            DO $$
            DECLARE
                log regclass;
                name name;
            BEGIN
                FOR log, name IN
                    SELECT t.tgrelid::regclass, t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                     WHERE p.pronamespace = 'playevent'::regnamespace AND t.tgrelid IN ('"PlayEvents"'::regclass, '"ShareEvents"'::regclass)
                LOOP
                    EXECUTE format('DROP TRIGGER %I ON %s', name, log);
                END LOOP;
            END $$;
            """);
        migrationBuilder.Sql("DROP TABLE play_counter_slot, play_daily_slot, play_verdict, share_counter_slot, share_daily_slot, share_verdict CASCADE;");
        migrationBuilder.Sql("DROP FUNCTION record_play, record_play_heard, record_plays, record_plays_heard, play_bucket_of, record_share, record_shares;");
        foreach (var table in new[] { "PlayEvents", "ShareEvents" })
        {
            migrationBuilder.DropCheckConstraint(name: "playevent_kinds", table: table);
            migrationBuilder.DropColumn(name: "day", table: table);
        }
    }
}
