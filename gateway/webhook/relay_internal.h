/* Shapes that the files of the relay share. All of it belongs to the relay's loop but for what says
 * otherwise. */
#ifndef WEBHOOK_RELAY_INTERNAL_H
#define WEBHOOK_RELAY_INTERNAL_H

#include <pthread.h>

#include "base/map.h"
#include "webhook/relay.h"

/* Any thread reads them. */
struct relay_counters {
    _Atomic uint64_t delivered, failed, dead, missed, dropped;
};

struct relay {
    struct loop *loop;
    struct outbox *outbox;
    struct store_view *view;
    struct buf spill;
    struct relay_settings settings;
    struct audience *audience; /* retained */
    struct relay_counters counters;
    pthread_mutex_t lock; /* of the list of peers, for relay_each */
    struct list peers;
    struct outbox_listener listener;
    uint64_t position; /* letters up to this number have been looked at */
    struct loop_task look_task, close_task;
    struct loop_timer trim_timer;
    bool looking, closing;
    unsigned pending; /* peers that are not gone yet, drops and trims under way */
    void (*on_closed)(void *arg);
    void *arg;
};

/* A subscriber at work. */
struct peer {
    struct list node; /* of relay->peers, or none once it leaves */
    struct relay *relay;
    const struct audience_member *member; /* of relay->audience; NULL once it leaves */
    char name_text[AUDIENCE_NAME_MAX];
    struct slice name;
    struct upstream *upstream; /* of its own */
    struct map lanes;
    struct list ready; /* lanes that may send */
    struct list stuck; /* rows that could not be deleted yet */
    size_t lane_count, in_flight, changes;
    bool more;  /* there are lanes in the store that are not here */
    bool full;  /* … and the walk through them has stopped, for want of room */
    bool again; /* … and what it has passed already has to be looked at once more */
    bool leaving, upstream_closed, woken;
    uint64_t told_at, trouble_at; /* when it was last said that it, or the store, fails; 0: never */
    unsigned failures;            /* times in a row that it could not be reached or asked for a pause */
    uint64_t open_at;             /* nothing is sent before */
    struct loop_task task;
    struct loop_timer pause_timer, page_timer, report_timer;
    char cursor[128]; /* the credential up to which the walk came */
    size_t cursor_len;
    uint64_t new_missed, new_dead; /* since they were last told */
    struct relay_counters counters;
    _Atomic uint64_t backlog, shown_in_flight;
    _Atomic int state; /* enum relay_state */
};

enum lane_state {
    LANE_IDLE,    /* nothing to do; it goes when its changes are done */
    LANE_READY,   /* in peer->ready */
    LANE_SENDING, /* a delivery is on its way */
    LANE_WAITING, /* its timer runs */
    LANE_BURYING, /* its head goes to the dead letters */
};

struct lane {
    struct map_node node;
    struct list ready;
    struct peer *peer;
    enum lane_state state;
    struct loop_timer timer;
    struct send *send; /* while SENDING */
    uint64_t settled;  /* rows up to this number are done with, committed or not */
    uint64_t head;     /* the row at work; 0: none */
    uint32_t attempts; /* of the head */
    int64_t next_ms;   /* of the head: not before this wall time */
    size_t changes;    /* of its rows, not committed yet */
    size_t id_len;
    char id[];
};

static inline struct slice lane_id(const struct lane *lane)
{
    return slice_of(lane->id, lane->id_len);
}

/* How a delivery ended. */
enum send_outcome {
    SEND_TAKEN,       /* 2xx */
    SEND_GONE,        /* 410 */
    SEND_REFUSED,     /* any other answer, or none in time */
    SEND_BUSY,        /* 429 or 503 with Retry-After */
    SEND_UNREACHABLE, /* no connection */
};
struct send_result {
    enum send_outcome outcome;
    uint64_t pause_ms; /* of BUSY */
    char why[64];      /* "HTTP 500", "connection_refused" */
};

/* --- peer.c --- */
/* NULL: out of memory. */
struct peer *peer_create(struct relay *relay, const struct audience_member *member);
/* New settings, or a new member of the same name; a disabled one is tried again. */
void peer_configure(struct peer *peer, const struct audience_member *member);
/* Cancels all, and frees it when nothing of it remains. */
void peer_leave(struct peer *peer);
struct peer *peer_find(struct relay *relay, struct slice name);
/* Sends what may be sent, at the end of this turn. */
void peer_wake(struct peer *peer);
/* Frees a leaving one of which nothing remains. */
void peer_settle(struct peer *peer);
/* Something came for this credential. */
void peer_notice(struct peer *peer, struct slice credential_id);
/* Walks through the store for lanes that are not in memory, in a later turn. */
void peer_page(struct peer *peer);
/* Begins that walk, from the start. */
void peer_walk(struct peer *peer);
/* Counts its rows up to the relay's position anew, and has the walk done. */
void peer_recount(struct peer *peer);
/* Something to be told, soon and in one line. */
void peer_report(struct peer *peer);
/* What the last delivery said of the subscriber as a whole. */
void peer_heard(struct peer *peer, const struct send_result *result);

/* --- lane.c --- */
struct lane *lane_find(const struct peer *peer, struct slice credential_id);
/* A new one, ready. NULL: out of memory. */
struct lane *lane_create(struct peer *peer, struct slice credential_id);
void lane_destroy(struct lane *lane);
void lane_ready(struct lane *lane);
/* Gives up the deletions of the peer that wait to be tried again. */
void lane_let_go(struct peer *peer);
/* It was ready and its turn has come: sends its head. */
void lane_go(struct lane *lane);
/* The delivery that it had begun is over. */
void lane_sent(struct lane *lane, const struct send_result *result);

/* --- send.c --- */
/* Begins the delivery of a letter; ends in lane_sent. The letter is borrowed for the call. ERR_NOMEM. */
int send_start(struct lane *lane, const struct letter *letter) MUST_CHECK;
/* No lane_sent any more. */
void send_cancel(struct send *send);

/* --- drop.c --- */
/* Deletes all rows of a subscriber that is no more, and says how many there were. */
void drop_start(struct relay *relay, struct slice name);

/* --- missed.c --- */
/* Deletes the rows of a subscriber whose letters have left the window, and says how many there were. */
void missed_start(struct peer *peer);

/* --- relay.c --- */
void relay_count(_Atomic uint64_t *counter, uint64_t n);
/* One of relay->pending is done. */
void relay_release(struct relay *relay);

#endif
