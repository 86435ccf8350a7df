// SnakeContext.cs: the same model with names in snake case, kinds that are Postgres
// enums, and logs that create_log makes.  Tracks and logs have a schema each.
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace Site;

public class SnakeContext(DbContextOptions<SnakeContext> options) : SiteContext(options)
{
    public static new void Configure(DbContextOptionsBuilder options, string? connectionString) =>
        options.UseSnakeCaseNamingConvention().UseNpgsql(connectionString, npgsql => npgsql
            .EnableRetryOnFailure()
            .MapEnum<PlayBucket>("play_bucket", "listening")
            .MapEnum<ShareChannel>("share_channel", "listening"));

    protected override string PlayLog => "listening.play_event";

    protected override void OnModelCreating(ModelBuilder model)
    {
        base.OnModelCreating(model);
        model.Entity<Release>().ToTable("release", "catalog");
        model.Entity<Track>().ToTable("track", "catalog");
        model.Entity<PlayEvent>().ToTable("play_event", "listening", table => table.ExcludeFromMigrations());
        model.Entity<ShareEvent>().ToTable("share_event", "listening", table => table.ExcludeFromMigrations());
        model.Entity<ShareEvent>().Property(s => s.Channel).HasConversion((ValueConverter?)null);
        model.Entity<TrackPlays>().ToView("play_by_track", "listening");
        model.Entity<ReleasePlays>().ToView("play_by_release", "listening");
    }
}
