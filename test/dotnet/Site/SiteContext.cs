// SiteContext.cs: the site's model, by Entity Framework's own conventions.  Its
// migrations make all tables; attach_log makes logs of two of them.
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Storage;

namespace Site;

public class SiteContext : DbContext
{
    public SiteContext(DbContextOptions<SiteContext> options) : base(options) { }

    protected SiteContext(DbContextOptions options) : base(options) { }

    public DbSet<Release> Releases => Set<Release>();
    public DbSet<Track> Tracks => Set<Track>();
    public DbSet<PlayEvent> PlayEvents => Set<PlayEvent>();
    public DbSet<ShareEvent> ShareEvents => Set<ShareEvent>();
    public DbSet<TrackPlays> TrackPlays => Set<TrackPlays>();
    public DbSet<ReleasePlays> ReleasePlays => Set<ReleasePlays>();

    public static void Configure(DbContextOptionsBuilder options, string? connectionString) =>
        options.UseNpgsql(connectionString, npgsql => npgsql.EnableRetryOnFailure());

    // The most played tracks from one day to another, both included.
    public IQueryable<ChartLine> Top(DateOnly since, DateOnly until, int? limit = null) =>
        Set<ChartLine>().FromSql(
            $"SELECT rank, key, plays FROM playevent.top({PlayLog}::regclass, {since}, {until}, lim => {limit})");

    // Plays a day, week or month, of a track or of all.
    public IQueryable<PeriodPlays> Series(DateOnly since, DateOnly until, string? track = null, string step = "day") =>
        Set<PeriodPlays>().FromSql(
            $"SELECT period, plays FROM playevent.series({PlayLog}::regclass, {since}, {until}, track_entry_key => {track}, step => {step})");

    private string PlayLog
    {
        get
        {
            var entity = Model.FindEntityType(typeof(PlayEvent))!;
            return this.GetService<ISqlGenerationHelper>().DelimitIdentifier(entity.GetTableName()!, entity.GetSchema());
        }
    }

    protected override void OnModelCreating(ModelBuilder model)
    {
        model.HasPostgresExtension("playevent");
        // No navigation from an event to its track or release: a foreign key would
        // keep these from being removed, or change what was recorded.
        model.Entity<PlayEvent>(play =>
        {
            play.HasIndex(p => p.EventId).IsUnique();
            play.Property(p => p.ReleaseId).HasDefaultValueSql("NULL"); // so it is read back
            play.Property(p => p.CreatedAt).HasDefaultValueSql("now()");
        });
        model.Entity<ShareEvent>(share =>
        {
            share.HasIndex(s => s.EventId).IsUnique();
            share.Property(s => s.Channel).HasConversion(c => c.Label(), label => Enum.Parse<ShareChannel>(label, true));
            share.Property(s => s.ReleaseId).HasDefaultValueSql("NULL");
            share.Property(s => s.CreatedAt).HasDefaultValueSql("now()");
        });

        model.Entity<TrackPlays>().HasNoKey().ToView("play_by_track");
        model.Entity<ReleasePlays>().HasNoKey().ToView("play_by_release");
        model.Entity<ChartLine>().HasNoKey().ToFunction("top", top => top.HasSchema("playevent"));
        model.Entity<PeriodPlays>().HasNoKey().ToFunction("series", series => series.HasSchema("playevent"));
        // playevent's own names are lower case; keys are called as in the event's table.
        foreach (var property in model.Model.GetEntityTypes().Where(e => e.FindPrimaryKey() is null)
            .SelectMany(e => e.GetDeclaredProperties()).Where(p => p.Name is not ("TrackEntryKey" or "ReleaseId")))
        {
            property.SetColumnName(property.Name.ToLowerInvariant());
        }
    }
}
