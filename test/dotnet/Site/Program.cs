using Microsoft.EntityFrameworkCore;
using Site;

await using var app = WebTier.Create(args);
if (args.Contains("--migrate"))
{
    await using var scope = app.Services.CreateAsyncScope();
    var site = scope.ServiceProvider.GetRequiredService<SiteContext>();
    site.Database.SetConnectionString(app.Configuration.GetConnectionString("Owner"));
    await site.Database.MigrateAsync();
    return;
}
await app.RunAsync();
