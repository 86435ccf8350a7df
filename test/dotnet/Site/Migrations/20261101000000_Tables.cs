// The site's tables, as `dotnet ef migrations add` wrote it; but the attributes below,
// which it puts into files of their own, beside a copy of the model.
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Npgsql.EntityFrameworkCore.PostgreSQL.Metadata;

namespace Site.Migrations;

[DbContext(typeof(SiteContext))]
[Migration("20261101000000_Tables")]
public class Tables : Migration
{
    protected override void Up(MigrationBuilder migrationBuilder)
    {
        migrationBuilder.AlterDatabase()
            .Annotation("Npgsql:PostgresExtension:playevent", ",,");

        migrationBuilder.CreateTable(
            name: "PlayEvents",
            columns: table => new
            {
                Id = table.Column<long>(type: "bigint", nullable: false)
                    .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                TrackEntryKey = table.Column<string>(type: "character varying(100)", maxLength: 100, nullable: false),
                ReleaseId = table.Column<long>(type: "bigint", nullable: true, defaultValueSql: "NULL"),
                Bucket = table.Column<int>(type: "integer", nullable: false),
                EventId = table.Column<Guid>(type: "uuid", nullable: true),
                AnonId = table.Column<string>(type: "text", nullable: true),
                CreatedAt = table.Column<DateTime>(type: "timestamp with time zone", nullable: false, defaultValueSql: "now()")
            },
            constraints: table =>
            {
                table.PrimaryKey("PK_PlayEvents", x => x.Id);
            });

        migrationBuilder.CreateTable(
            name: "Releases",
            columns: table => new
            {
                Id = table.Column<long>(type: "bigint", nullable: false)
                    .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                Title = table.Column<string>(type: "text", nullable: false)
            },
            constraints: table =>
            {
                table.PrimaryKey("PK_Releases", x => x.Id);
            });

        migrationBuilder.CreateTable(
            name: "ShareEvents",
            columns: table => new
            {
                Id = table.Column<long>(type: "bigint", nullable: false)
                    .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                TrackEntryKey = table.Column<string>(type: "character varying(100)", maxLength: 100, nullable: false),
                ReleaseId = table.Column<long>(type: "bigint", nullable: true, defaultValueSql: "NULL"),
                Channel = table.Column<string>(type: "text", nullable: false),
                EventId = table.Column<Guid>(type: "uuid", nullable: true),
                CreatedAt = table.Column<DateTime>(type: "timestamp with time zone", nullable: false, defaultValueSql: "now()")
            },
            constraints: table =>
            {
                table.PrimaryKey("PK_ShareEvents", x => x.Id);
            });

        migrationBuilder.CreateTable(
            name: "Tracks",
            columns: table => new
            {
                EntryKey = table.Column<string>(type: "character varying(100)", maxLength: 100, nullable: false),
                Title = table.Column<string>(type: "text", nullable: false),
                Seconds = table.Column<double>(type: "double precision", nullable: false),
                ReleaseId = table.Column<long>(type: "bigint", nullable: true),
                IsDeleted = table.Column<bool>(type: "boolean", nullable: false)
            },
            constraints: table =>
            {
                table.PrimaryKey("PK_Tracks", x => x.EntryKey);
                table.ForeignKey(
                    name: "FK_Tracks_Releases_ReleaseId",
                    column: x => x.ReleaseId,
                    principalTable: "Releases",
                    principalColumn: "Id");
            });

        migrationBuilder.CreateIndex(
            name: "IX_PlayEvents_EventId",
            table: "PlayEvents",
            column: "EventId",
            unique: true);

        migrationBuilder.CreateIndex(
            name: "IX_ShareEvents_EventId",
            table: "ShareEvents",
            column: "EventId",
            unique: true);

        migrationBuilder.CreateIndex(
            name: "IX_Tracks_ReleaseId",
            table: "Tracks",
            column: "ReleaseId");
    }

    protected override void Down(MigrationBuilder migrationBuilder)
    {
        migrationBuilder.DropTable(name: "PlayEvents");
        migrationBuilder.DropTable(name: "ShareEvents");
        migrationBuilder.DropTable(name: "Tracks");
        migrationBuilder.DropTable(name: "Releases");
    }
}
