/* The life of one notification, small enough to look at every interleaving there is.
 *
 * A client that tries twice under one key; two threads, of two workers or (ONE_WORKER) of the same; a relay that buries
 * and recovers; time and an operator. Any step of any thread may come arbitrarily late (a pause), one worker may die
 * anywhere, and one answer of the database may be lost. Each atomic step is one statement of notifications/outbox/
 * under the same guards. What must hold is at the end.
 *
 * Options, given as -D…: HOLD (the other policy), ONE_WORKER, and the broken variants, each without one guard.
 */

#define ATTEMPTS 3
#ifndef BURIALS
#define BURIALS 1 /* of workers that live: a lease is shorter than a pause */
#endif

#ifdef ONE_WORKER
#define WORKER(t) 0
#define HELD_BY(w) (held[0] == attempt || held[1] == attempt)
#else
#define WORKER(t) (t)
#define HELD_BY(w) (held[w] == attempt)
#endif

mtype = { NONE, PENDING, SENDING, SENT, UNKNOWN, FAILED };
mtype = { ACCEPTED, TRANSIENT, IN_DOUBT, LOST, RELEASED };

/* the notification; its last claim began (started_at); a later attempt may double (possible_duplicate) */
mtype status = NONE;
byte attempt, owner;
bool started, doubtful;

/* its attempt rows, by number; outcome 0 is no row */
mtype outcome[ATTEMPTS + 1];
bool marked[ATTEMPTS + 1];

/* the client's key, and what it made */
bool key_taken, created_twice;

/* the provider, which has what these attempts sent */
bool got[ATTEMPTS + 1];

/* each worker's lease, by id: whoever loses one takes the next */
byte lease[2];
byte leases = 2;
bool gone[2 + BURIALS + 1];
bool dead[2];
byte burials;
bool died, replayed;
#ifdef NO_ANSWER_LOST
bool answer_lost = true;
#else
bool answer_lost;
#endif

byte held[2]; /* the attempt that each thread holds, 0 for none */

#ifdef ENQUEUED_AFTER_COMMIT
bool queued;
#endif

bool left_sent; /* what was sent became something else */

inline become(to) {
    left_sent = left_sent || (status == SENT && to != SENT);
    status = to
}

#ifdef HOLD
#define DOUBT UNKNOWN
#else
#define DOUBT PENDING
#endif

/* The fence: is what thread t holds still its own? */
#if defined(NO_FENCE)
#define MINE (true)
#elif defined(NO_ATTEMPT)
#define MINE (status == SENDING && owner == as)
#else
#define MINE (status == SENDING && owner == as && attempt == held[t])
#endif

#ifdef ANY_LATE_SUCCESS
#define SETTLES (status == UNKNOWN && result == ACCEPTED)
#else
#define SETTLES (status == UNKNOWN && result == ACCEPTED && attempt == held[t])
#endif

/* --- accept ------------------------------------------------------------------------------------------------ */

proctype request() {
    bool taken;
#ifdef CHECK_THEN_INSERT
    taken = key_taken;
#endif
    atomic {
#ifndef CHECK_THEN_INSERT
        taken = key_taken;
#endif
        if
        :: !taken && status == NONE -> key_taken = true; status = PENDING
        :: !taken && status != NONE -> created_twice = true
        :: taken
        fi;
        taken = false
    }
#ifdef ENQUEUED_AFTER_COMMIT
    if
    :: queued = true
    :: true /* the web dies between the commit and the queue; the retry finds its key, and queues nothing */
    fi
#endif
}

/* --- claim, deliver, record -------------------------------------------------------------------------------- */

#ifdef ENQUEUED_AFTER_COMMIT
#define CLAIMABLE (status == PENDING && attempt < ATTEMPTS && queued)
#else
#define CLAIMABLE (status == PENDING && attempt < ATTEMPTS)
#endif
#define LIVES (!dead[WORKER(t)])

proctype thread(byte t) {
    byte as; /* the lease it claimed under */
    bool doubled;
    mtype result;
idle:
end:
    atomic {
        LIVES && CLAIMABLE ->
        attempt++; become(SENDING); owner = lease[WORKER(t)]; started = false;
        if
        :: held[t] = attempt; as = owner; doubled = doubtful
        :: !answer_lost -> answer_lost = true; goto idle /* the row is ours, and no thread of ours knows it */
        fi
    };
begin:
    atomic {
        LIVES ->
        if
        :: result = RELEASED; goto record /* SIGTERM, a pause of the lane, a lease in doubt: certainly not sent */
#ifdef UNFENCED_START
        :: started = true
#else
        :: MINE -> started = true
        :: !MINE -> held[t] = 0; as = 0; doubled = false; goto idle
#endif
        fi
    };
send:
    atomic {
        LIVES ->
        if
        :: got[held[t]] = true; result = ACCEPTED
        :: got[held[t]] = true; result = IN_DOUBT
        :: result = IN_DOUBT
        :: result = TRANSIENT
        fi
    };
record:
    atomic {
        LIVES ->
        if
        :: MINE ->
            if
            :: result == ACCEPTED -> become(SENT)
            :: result == IN_DOUBT -> become(DOUBT); doubtful = true
            :: else -> become(PENDING)
            fi;
            owner = 0; started = false
        :: !MINE && SETTLES -> become(SENT)
        :: !MINE && !SETTLES /* late: it is noted, and changes nothing */
        fi;
        if
        :: !outcome[held[t]] -> outcome[held[t]] = result; marked[held[t]] = doubled && result != RELEASED
        :: else
        fi;
        if
        :: !answer_lost -> answer_lost = true; goto record /* it has to say it again */
        :: held[t] = 0; as = 0; doubled = false; result = 0; goto idle
        fi
    }
}

/* --- recover ----------------------------------------------------------------------------------------------- */

inline take_back() {
    if
#ifndef UNSTARTED
    :: started ->
        outcome[attempt] = LOST; marked[attempt] = doubtful; become(DOUBT);
#ifndef UNMARKED
        doubtful = true
#endif
#endif
    :: else -> outcome[attempt] = RELEASED; become(PENDING)
    fi;
    owner = 0; started = false
}

#ifdef LONG_LEASE /* longer than any pause: none but the dead are ever buried */
#define BURIABLE(w) (dead[w] && !gone[lease[w]])
#else
#define BURIABLE(w) (!gone[lease[w]] && (dead[w] || burials < BURIALS))
#endif

inline bury(w) {
    gone[lease[w]] = true;
    burials = burials + (dead[w] -> 0 : 1);
    if
    :: status == SENDING && owner == lease[w] -> take_back()
    :: else
    fi
}

proctype relay() {
end:
    do
    :: atomic { BURIABLE(0) -> bury(0) }
    :: atomic { BURIABLE(1) -> bury(1) }
    /* a claim without a lease, of a worker that had not noticed yet */
    :: atomic { status == SENDING && gone[owner] -> take_back() }
    /* a claim under a worker's own lease that no thread of it holds */
    :: atomic { status == SENDING && owner == lease[0] && !dead[0] && !HELD_BY(0) -> take_back() }
    :: atomic { status == SENDING && owner == lease[1] && !dead[1] && !HELD_BY(1) -> take_back() }
    /* a worker finds its lease gone, and takes another */
    :: atomic { !dead[0] && gone[lease[0]] -> leases++; lease[0] = leases }
    :: atomic { !dead[1] && gone[lease[1]] -> leases++; lease[1] = leases }
    od
}

/* --- death, time and people -------------------------------------------------------------------------------- */

proctype fate() {
end:
    do
#ifndef ONE_WORKER
    :: atomic { !died -> died = true; dead[0] = true }
    :: atomic { !died -> died = true; dead[1] = true }
#endif
    :: atomic { status == PENDING || status == UNKNOWN -> become(FAILED) } /* expired, canceled, reported undelivered */
    :: atomic {
        (status == FAILED || status == UNKNOWN) && !replayed ->
        replayed = true; doubtful = doubtful || status == UNKNOWN; become(PENDING)
       }
    :: break /* none of it need ever come */
    od
}

/* --- what must hold ---------------------------------------------------------------------------------------- */

/* Attempts have no gap, and every claim ends in one row. */
#define ROW(n) (n < attempt -> outcome[n] != 0 : (n > attempt -> outcome[n] == 0 : \
    (outcome[n] == 0) == (status == SENDING)))
#define GAPLESS (attempt == 0 || (ROW(1) && ROW(2) && ROW(3)))
/* An attempt that reached the provider after another one says so, or will. */
#define SAYS(n) (outcome[n] != 0 -> marked[n] : doubtful)
#define NO_SILENT_DUPLICATE \
    ((!(got[1] && got[2]) || SAYS(2)) && (!((got[1] || got[2]) && got[3]) || SAYS(3)))
/* What is said to be sent was, by its latest attempt; and it stays so. */
#define SENT_IS_TRUE ((status != SENT || got[attempt]) && !left_sent)
/* When nobody can do anything any more it is finished, or waits for a person (or for an attempt more than we count). */
#define NOT_LOST (status != SENDING && (status != PENDING || attempt == ATTEMPTS))

proctype watch() {
end:
    if
    :: created_twice -> assert(!created_twice)
    :: !GAPLESS -> assert(GAPLESS)
    :: !NO_SILENT_DUPLICATE -> assert(NO_SILENT_DUPLICATE)
    :: !SENT_IS_TRUE -> assert(SENT_IS_TRUE)
    :: timeout -> assert(NOT_LOST)
    fi
}

init {
    atomic {
        lease[0] = 1; lease[1] = 2;
        run watch();
        run request(); run request()
    };
    /* A try that comes later finds the key taken and does nothing: it need not be mixed with the rest. */
    (_nr_pr == 2) ->
    atomic {
        run thread(0); run thread(1);
        run relay(); run fate()
    }
}
