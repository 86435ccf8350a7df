// play.go: records a play or a share from Go, and prints its id.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"strconv"

	_ "github.com/lib/pq"
)

// Returns 0 for what was too short to be a play.
func recordPlay(ctx context.Context, db *sql.DB, track string, heard float64, eventID string) (int64, error) {
	var id sql.NullInt64
	err := db.QueryRowContext(ctx,
		`SELECT record_play_heard($1, $2, event_id => $3)`, track, heard, eventID).Scan(&id)
	return id.Int64, err
}

func recordShare(ctx context.Context, db *sql.DB, track, channel, eventID string) (id int64, err error) {
	err = db.QueryRowContext(ctx,
		`SELECT record_share($1, $2, event_id => $3)`, track, channel, eventID).Scan(&id)
	return id, err
}

func main() {
	kind, track, what, eventID := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	db, err := sql.Open("postgres", "")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	var id int64
	if kind == "play" {
		heard, failure := strconv.ParseFloat(what, 64)
		if failure != nil {
			log.Fatal(failure)
		}
		id, err = recordPlay(context.Background(), db, track, heard, eventID)
	} else {
		id, err = recordShare(context.Background(), db, track, what, eventID)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)
}
