# test.rb: a site with Rails' Active Record, as the owner of its database.  From
# the environment: PGHOST, PGPORT, PGUSER, PGDATABASE.
require "active_record"
require "pg"
require "securerandom"
require "stringio"
require_relative "models"

def check(what, found, expected)
  puts "#{found == expected ? 'ok' : 'not ok'} - #{what}"
  puts "# found #{found.inspect}, not #{expected.inspect}" if found != expected
end

# The error of what the database refuses, and the first line of what it says.
def refusal
  yield
  []
rescue ActiveRecord::StatementInvalid => error
  [error.cause.class, error.cause.message.lines.first.chomp]
end

APPEND_ONLY = [PG::RestrictViolation, 'ERROR:  table "plays" is append-only']

ActiveRecord::Base.establish_connection(adapter: "postgresql", encoding: "unicode")
ActiveRecord::Migration.verbose = false
ActiveRecord::Migrator.migrations_paths = [File.join(__dir__, "migrate")]
database = ActiveRecord::Base.connection
# Of the connection, before Rails 7.2
source = [ActiveRecord::Base.connection_pool, database].find { |d| d.respond_to?(:migration_context) }
migrations = source.migration_context

migrations.migrate
Release.create!(id: 7, title: "Silver River LP")
Track.create!([{ entry_key: "river", release_id: 7 }, { entry_key: "loose" }])

first = SecureRandom.uuid
play = Play.create!(track_entry_key: "river", bucket: :most, event_id: first)
play.reload # reads its release
check "P2: Rails: the release is the track's", play.release_id, 7
loose = Play.create!(track_entry_key: "loose", bucket: :complete)
check "P2: Rails: a loose track's play has none", loose.reload.release_id, nil
again = Play.insert({ track_entry_key: "river", bucket: :most, event_id: first }) # leaves out a play that is there
check "P3: Rails: insert leaves out a play that is there", again.rows, []
heard = Play.sanitize_sql(["SELECT record_play_heard(?, ?, ?)", "river", 0.97, first])
id = Play.connection.select_value(heard)
check "P3: Rails: record_play_heard returns the id of the first play", id, play.id
check "P9: Rails: an unknown track is refused",
      refusal { Play.new(track_entry_key: "nowhere", bucket: :most).save!(validate: false) }.first, PG::ForeignKeyViolation

check "P1: Rails: an update is refused", refusal { play.update!(bucket: :partial) }, APPEND_ONLY
check "P1: Rails: a destroy is refused", refusal { play.destroy! }, APPEND_ONLY
check "P1: Rails: update_all is refused", refusal { Play.update_all(bucket: 0) }, APPEND_ONLY
check "P1: Rails: delete_all is refused", refusal { Play.delete_all }, APPEND_ONLY
%i[destroy nullify].each do |dependent|
  Release.has_many :plays, dependent: dependent
  check "P1: Rails: a release can't be destroyed with dependent: :#{dependent}", refusal { Release.find(7).destroy! }, APPEND_ONLY
end
ActiveRecord::SchemaDumper.dump(source, schema = StringIO.new)
check "P10: Rails: schema.rb has tables, and no triggers",
      [schema.string.include?('create_table "plays"'), schema.string.include?("playevent_count")], [true, false]

check "P3: Rails: the view says what was played",
      TrackPlays.order(:track_entry_key).map { |t| [t.track_entry_key, t.partial, t.most, t.complete, t.plays] },
      [["loose", 0, 0, 1, 1], ["river", 0, 1, 0, 1]]
check "P3: Rails: top says so too",
      database.select_rows("SELECT key, plays FROM playevent.top('plays') ORDER BY key"), [["loose", 1], ["river", 1]]
check "P3: Rails: counters are exact", database.select_rows("SELECT * FROM playevent.verify('plays')"), []

migrations.rollback
Play.reset_column_information
loose.delete
check "P10: Rails: after the migration back, the table is an ordinary one", Play.pluck(:release_id), [7]
migrations.migrate
check "P10: Rails: and after the migration forth, a log of the plays that are there",
      TrackPlays.pluck(:track_entry_key, :plays), [["river", 1]]
migrations.rollback(2)
check "P10: Rails: nothing is left in the end", database.tables - %w[ar_internal_metadata schema_migrations], []
