# Makes a log of the table of plays.
class CountPlays < ActiveRecord::Migration[6.1]
  def up
    enable_extension "playevent"
    execute <<~SQL
      SELECT playevent.attach_log('plays', name => 'play', kinds => '{0,1,2}', kind_names => '{partial,most,complete}',
          created_column => 'created_at', track => 'tracks', track_deleted => 'is_deleted', unknown_track => 'reject')
    SQL
  end

  def down
    execute <<~SQL
      DO $$
      DECLARE
          trigger name;
      BEGIN
          FOR trigger IN
              SELECT t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
               WHERE t.tgrelid = 'plays'::regclass AND p.pronamespace = 'playevent'::regnamespace
          LOOP
              EXECUTE format('DROP TRIGGER %I ON plays', trigger);
          END LOOP;
      END $$;
      DROP TABLE play_counter_slot, play_daily_slot, play_verdict CASCADE;
      DROP FUNCTION record_play, record_play_heard, record_plays, record_plays_heard, play_bucket_of;
      ALTER TABLE plays DROP CONSTRAINT playevent_kinds, DROP COLUMN day;
      DROP EXTENSION playevent;
    SQL
  end
end
