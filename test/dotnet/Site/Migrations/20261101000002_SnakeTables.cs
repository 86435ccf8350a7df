// The tables of SnakeContext that migrations make, and the logs beside them.
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Npgsql.EntityFrameworkCore.PostgreSQL.Metadata;

namespace Site.Migrations;

[DbContext(typeof(SnakeContext))]
[Migration("20261101000002_SnakeTables")]
public class SnakeTables : Migration
{
    protected override void Up(MigrationBuilder migrationBuilder)
    {
        migrationBuilder.EnsureSchema(name: "catalog");
        migrationBuilder.EnsureSchema(name: "listening");

        // `dotnet ef migrations add` wrote the enums of MapEnum here, too; create_log makes them.
        migrationBuilder.AlterDatabase()
            .Annotation("Npgsql:PostgresExtension:playevent", ",,");

        migrationBuilder.CreateTable(
            name: "release",
            schema: "catalog",
            columns: table => new
            {
                id = table.Column<long>(type: "bigint", nullable: false)
                    .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                title = table.Column<string>(type: "text", nullable: false)
            },
            constraints: table =>
            {
                table.PrimaryKey("pk_release", x => x.id);
            });

        migrationBuilder.CreateTable(
            name: "track",
            schema: "catalog",
            columns: table => new
            {
                entry_key = table.Column<string>(type: "character varying(100)", maxLength: 100, nullable: false),
                title = table.Column<string>(type: "text", nullable: false),
                seconds = table.Column<double>(type: "double precision", nullable: false),
                release_id = table.Column<long>(type: "bigint", nullable: true),
                is_deleted = table.Column<bool>(type: "boolean", nullable: false)
            },
            constraints: table =>
            {
                table.PrimaryKey("pk_track", x => x.entry_key);
                table.ForeignKey(
                    name: "fk_track_release_release_id",
                    column: x => x.release_id,
                    principalSchema: "catalog",
                    principalTable: "release",
                    principalColumn: "id");
            });

        migrationBuilder.CreateIndex(
            name: "ix_track_release_id",
            schema: "catalog",
            table: "track",
            column: "release_id");

        // A log is made in the current schema.
        migrationBuilder.Sql("""
            DO $$ BEGIN
                SET LOCAL search_path = listening;
                PERFORM playevent.create_log('play', track => 'catalog.track', track_deleted => 'is_deleted',
                    unknown_track => 'reject', ingest_role => 'web', reader_role => 'reader');
                PERFORM playevent.create_log('share', track => 'catalog.track', track_deleted => 'is_deleted',
                    kind => 'channel', kinds => '{link,native,embed}',
                    unknown_track => 'reject', ingest_role => 'web', reader_role => 'reader');
                SET LOCAL search_path TO DEFAULT;
            END $$;
            """);
        migrationBuilder.Sql("GRANT USAGE ON SCHEMA catalog TO reader;");
        migrationBuilder.Sql("GRANT SELECT ON catalog.track, catalog.release TO reader;");
    }

    protected override void Down(MigrationBuilder migrationBuilder)
    {
        migrationBuilder.Sql("DROP SCHEMA listening CASCADE;");
        migrationBuilder.DropTable(name: "track", schema: "catalog");
        migrationBuilder.DropTable(name: "release", schema: "catalog");
        migrationBuilder.DropSchema(name: "catalog");
    }
}
