// SiteContext.cs: the site's model, by Entity Framework's own conventions.  Its
// migrations make all tables; attach_log makes logs of two of them.
using Microsoft.EntityFrameworkCore;

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

    // The most played tracks, or releases, from one day to another, both included.
    public IQueryable<ChartLine> Top(DateOnly since, DateOnly until, int? limit = null, string by = "track") =>
        Set<ChartLine>().FromSql(
            $"SELECT rank, key, plays FROM playevent.top({PlayLog}::regclass, {since}, {until}, lim => {limit}, by => {by})");

    // Null: nobody has played it
    public Task<TrackPlays?> PlaysOfAsync(string track) =>
        TrackPlays.SingleOrDefaultAsync(plays => plays.TrackEntryKey == track);

    // Plays a day, week or month, of a track or of all.
    public IQueryable<PeriodPlays> Series(DateOnly since, DateOnly until, string? track = null, string step = "day") =>
        Set<PeriodPlays>().FromSql(
            $"SELECT period, plays FROM playevent.series({PlayLog}::regclass, {since}, {until}, track_entry_key => {track}, step => {step})");

    // In quotes, for Postgres folds other names to lower case.
    protected virtual string PlayLog => "\"PlayEvents\"";

    protected override void OnModelCreating(ModelBuilder model)
    {
        model.HasPostgresExtension("playevent"); // the next migration creates it; its files must be on the server
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
        model.Entity<ChartLine>().HasNoKey().ToView(null); // FromSql's alone: migrations make no table
        model.Entity<PeriodPlays>().HasNoKey().ToView(null);
    }
}
