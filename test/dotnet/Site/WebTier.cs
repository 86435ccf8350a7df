// WebTier.cs: takes in plays and shares, and serves the charts and the player's page.
//
// Settings: ConnectionStrings Web and Reader, of two roles: one may record and cannot
// read, the other may read and cannot record; and Owner, for --migrate.  Log is
// "attached" (SiteContext) or "created" (SnakeContext).  Proxies are the addresses of
// reverse proxies whose X-Forwarded-For holds.  Public, Media and ChartJs are
// directories to serve.
using System.ComponentModel.DataAnnotations;
using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.FileProviders;
using Npgsql;

namespace Site;

// What Postgres would refuse is refused here, without asking it.
public record PlayReport(
    [StringLength(100, MinimumLength = 1), RegularExpression(@"[^\0]+")] string Track,
    [Range(0.0, 1.0)] double Heard,
    Guid EventId);

public record ShareReport(
    [StringLength(100, MinimumLength = 1), RegularExpression(@"[^\0]+")] string Track,
    ShareChannel Channel,
    Guid EventId);

public record PlayBatch([Length(1, 1000)] PlayReport[] Plays);

public static class WebTier
{
    public static WebApplication Create(string[] args)
    {
        var builder = WebApplication.CreateBuilder(args);
        var settings = builder.Configuration;
        var services = builder.Services;

        services.AddSingleton(_ => NpgsqlDataSource.Create(
            new NpgsqlConnectionStringBuilder(settings.GetConnectionString("Web"))
            {
                MaxPoolSize = 8,
                MaxAutoPrepare = 8,
                Timeout = 5,
                CommandTimeout = 5,
            }));
        services.AddSingleton<PlayRecorder>();
        var reader = settings.GetConnectionString("Reader");
        if ("created".Equals(settings["Log"], StringComparison.OrdinalIgnoreCase))
        {
            services.AddDbContextPool<SiteContext, SnakeContext>(options => SnakeContext.Configure(options, reader));
        }
        else
        {
            services.AddDbContextPool<SiteContext>(options => SiteContext.Configure(options, reader));
        }

        services.ConfigureHttpJsonOptions(json =>
        {
            var options = json.SerializerOptions;
            options.PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower;
            options.UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow;
            options.NumberHandling = JsonNumberHandling.Strict;
            options.RespectNullableAnnotations = true;
            options.RespectRequiredConstructorParameters = true;
            options.Converters.Add(new JsonStringEnumConverter<ShareChannel>(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false));
        });
        services.AddValidation();
        services.AddProblemDetails();
        services.Configure<ForwardedHeadersOptions>(options =>
        {
            options.ForwardedHeaders = ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto;
            options.KnownIPNetworks.Clear();
            options.KnownProxies.Clear();
            foreach (var proxy in settings.GetSection("Proxies").Get<string[]>() ?? [])
            {
                options.KnownProxies.Add(IPAddress.Parse(proxy));
            }
        });
        services.AddOutputCache();
        services.AddRateLimiter(limiter =>
        {
            limiter.RejectionStatusCode = StatusCodes.Status429TooManyRequests;
            limiter.AddPolicy("events", http => RateLimitPartition.GetFixedWindowLimiter(
                http.Connection.RemoteIpAddress,
                _ => new() { PermitLimit = 60, Window = TimeSpan.FromMinutes(1) }));
        });

        var app = builder.Build();
        app.UseForwardedHeaders();
        app.UseExceptionHandler(new ExceptionHandlerOptions { StatusCodeSelector = StatusOf });
        app.UseRateLimiter();
        app.UseOutputCache();
        MapEvents(app.MapGroup("/api/event").RequireRateLimiting("events").WithMetadata(new RequestSizeLimit(1024)));
        // Pages ask again and again: Postgres is asked once a second, for all of them.
        MapCharts(app.MapGroup("/api").CacheOutput(cached => cached.Expire(TimeSpan.FromSeconds(1))));
        foreach (var (setting, path) in new[] { ("Public", ""), ("Media", "/media"), ("ChartJs", "/chart.js") })
        {
            if (settings[setting] is { } directory)
            {
                app.UseFileServer(new FileServerOptions { FileProvider = new PhysicalFileProvider(directory), RequestPath = path });
            }
        }
        return app;
    }

    // The database being away, overloaded or slow is worth another try; nobody
    // outside needs to read what else is wrong.
    private static int StatusOf(Exception exception) => exception switch
    {
        BadHttpRequestException bad => bad.StatusCode,
        NpgsqlException { IsTransient: true } or NpgsqlException and not PostgresException or TimeoutException
            => StatusCodes.Status503ServiceUnavailable,
        _ => StatusCodes.Status500InternalServerError,
    };

    private static void MapEvents(RouteGroupBuilder events)
    {
        events.AddEndpointFilter(async (context, next) =>
        {
            try
            {
                return await next(context);
            }
            catch (PostgresException unknown) when (unknown.SqlState == PostgresErrorCodes.ForeignKeyViolation)
            {
                return TypedResults.NotFound();
            }
        });

        // Without the request's CancellationToken: whoever closes the page has played.
        events.MapPost("/play", async (PlayReport play, PlayRecorder recorder) =>
        {
            await recorder.RecordPlayAsync(play.Track, play.Heard, play.EventId);
            return TypedResults.NoContent();
        });

        events.MapPost("/share", async (ShareReport share, PlayRecorder recorder) =>
        {
            await recorder.RecordShareAsync(share.Track, share.Channel, share.EventId);
            return TypedResults.NoContent();
        });

        // What a client gathered while it was offline
        events.MapPost("/plays", async (PlayBatch batch, PlayRecorder recorder, CancellationToken cancel) =>
            TypedResults.Ok(await recorder.RecordPlaysAsync(
                [.. batch.Plays.Select(play => play.Track)],
                [.. batch.Plays.Select(play => play.Heard)],
                [.. batch.Plays.Select(play => play.EventId)], cancel)))
            .WithMetadata(new RequestSizeLimit(1 << 18));
    }

    // In bytes
    private record RequestSizeLimit(long? MaxRequestBodySize) : IRequestSizeLimitMetadata;

    // Days are UTC's, as the counters are.
    private static void MapCharts(RouteGroupBuilder api)
    {
        api.MapGet("/tracks", (SiteContext site) => site.Tracks
            .Where(track => !track.IsDeleted)
            .OrderBy(track => track.ReleaseId).ThenBy(track => track.Title)
            .Select(track => new { track.EntryKey, track.Title, Release = track.Release == null ? null : track.Release.Title })
            .ToListAsync());

        // Of all tracks that a page lists, by an index probe each
        api.MapGet("/plays", async (SiteContext site) =>
        {
            var tracks = await site.Tracks.Where(track => !track.IsDeleted).Select(track => track.EntryKey).ToArrayAsync();
            return await site.TrackPlays
                .Where(plays => tracks.Contains(plays.TrackEntryKey))
                .Select(plays => new { EntryKey = plays.TrackEntryKey, plays.Plays })
                .ToListAsync();
        });

        api.MapGet("/charts/series", (SiteContext site, string? track,
            [Range(1, 999)] int days = 30, [AllowedValues("day", "week", "month")] string step = "day") =>
            site.Series(Today.AddDays(1 - days), Today, track, step).OrderBy(each => each.Period).ToListAsync());

        // Some of them may be deleted.
        api.MapGet("/charts/top", (SiteContext site, [Range(1, 999)] int days = 30) =>
            site.Top(Today.AddDays(1 - days), Today, limit: 20)
                .Join(site.Tracks.Where(track => !track.IsDeleted), line => line.Key, track => track.EntryKey,
                    (line, track) => new { line.Rank, track.EntryKey, track.Title, line.Plays })
                .OrderBy(line => line.Rank).ThenBy(line => line.Title)
                .Take(10)
                .Select(line => new { line.EntryKey, line.Title, line.Plays })
                .ToListAsync());

        api.MapGet("/charts/releases", (SiteContext site, [Range(1, 999)] int days = 30) =>
            site.Top(Today.AddDays(1 - days), Today, limit: 10, by: "release")
                .Join(site.Releases, line => line.Key, release => release.Id.ToString(), (line, release) => new { line.Rank, release.Title, line.Plays })
                .OrderBy(line => line.Rank).ThenBy(line => line.Title)
                .Select(line => new { line.Title, line.Plays })
                .ToListAsync());
    }

    private static DateOnly Today => DateOnly.FromDateTime(DateTime.UtcNow);
}
