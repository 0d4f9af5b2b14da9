/*
 * The handover of a container between two hosts: never two running, never none.
 *
 * Four processes, as in docs/dev/interfaces.md: on each host an agent, which talks to the
 * other agent over a network that loses connections, and a shim, which owns the container.
 * Agents may die at any moment and start again with nothing but what is on disk (the shims'
 * records). The destination's shim may die as long as it has not recorded `running`, and its
 * container then dies with it (containerd's contract: a shim's death ends its container).
 *
 * A connection's loss is modelled by its effect: each side learns of it, in any order,
 * and messages under way are gone. Faults are bounded by FAULTS so that every run ends;
 * the number is arbitrary and each fault may strike at any step.
 */

#ifndef FAULTS
#define FAULTS 3
#endif

mtype = { moving, committed, done, rolled_back, returned };     /* source's record      */
mtype = { preparing, held, running, refused };                  /* destination's record */
mtype = { m_switchover, m_ready, m_commit, m_running, m_refused, m_abort };

/* On disk. */
mtype src = moving;
mtype dst = preparing;

/* What the kernel does. */
bool src_runs = true;
bool dst_runs = false;

/* The stream between the agents (one migration has one) and each agent's lease on its shim. */
bool stream_src = true;         /* the source agent still believes in the stream      */
bool stream_dst = true;         /* the destination agent does                         */
bool lease_src = true;
bool lease_dst = true;
chan to_dst = [2] of { mtype };
chan to_src = [2] of { mtype };

bool src_up = true;             /* the agent processes                                */
bool dst_up = true;
byte faults = FAULTS;

inline cut_stream() {
    stream_src = false; stream_dst = false;
    do :: to_dst?_ :: to_src?_ :: empty(to_dst) && empty(to_src) -> break od
}

/* Strikes anywhere, at most FAULTS times, then leaves the world alone. */
active proctype Faults() {
    do
    :: atomic { faults > 0 -> faults--; cut_stream() }
    :: atomic { faults > 0 && src_up -> faults--; src_up = false; lease_src = false; cut_stream() }
    :: atomic { faults > 0 && dst_up -> faults--; dst_up = false; lease_dst = false; cut_stream() }
    :: atomic { faults > 0 && (dst == preparing || dst == held) ->
        /* the destination's shim dies: containerd cleans up, the record says refused */
        faults--; dst = refused; cut_stream() }
    :: faults == 0 -> break
    :: break
    od
}

/* The source's shim alone: without its lease and before the commit it thaws by itself. */
active proctype SourceShim() {
end:
    do
    :: atomic { src == moving && !lease_src -> src = rolled_back; src_runs = true }
    :: src == done || src == rolled_back || src == returned -> break
    od
}

/* The destination's shim alone: without its lease it gives up, unless it is held: then
   it may have been given the container and waits for its agent to come back and ask. */
active proctype DestinationShim() {
end:
    do
    :: atomic { dst == preparing && !lease_dst -> dst = refused }
    :: dst == running || dst == refused -> break
    od
}

/* What the destination's shim does when its agent says release, or abort. */
inline release() { atomic { if :: dst == held -> dst = running; dst_runs = true :: else fi } }
inline abort_destination() { atomic { if :: dst == preparing || dst == held -> dst = refused :: else fi } }
/* And the source's shim. */
inline commit() { atomic { if :: src == moving && !src_runs && lease_src -> src = committed :: else fi } }
inline finish() { atomic { if :: src == committed -> src = done :: else fi } }
inline roll_back() { atomic { if :: src == moving -> src = rolled_back; src_runs = true :: else fi } }
inline hand_back() { atomic { if :: src == committed -> src = returned; src_runs = true :: else fi } }

/* Ask the other side's record; possible only while its agent is up. Both answers are final ones. */
inline settle_source() {
    do
    :: !src_up -> src_up = true          /* died here too, and was started again */
    :: src == committed && dst_up ->
        if
        :: dst == running -> finish()
        :: dst == refused -> hand_back()
        :: dst == held -> release()      /* Settle says committed: the destination releases and answers running */
        :: dst == preparing -> abort_destination()
        fi
    :: src == moving -> roll_back()
    :: src != committed && src != moving -> break
    od
}

inline settle_destination() {
    do
    :: !dst_up -> dst_up = true
    :: dst == held && src_up && (src == committed || src == done) -> release()
    :: dst == held && src_up && (src == rolled_back || src == returned) -> abort_destination()
    /* src == moving: not decided yet. Asking again is modelled by waiting, so that every run
       is finite and never_none needs no assumption of fairness. */
    :: dst == preparing -> abort_destination()
    :: dst == running || dst == refused -> break
    od
}

active proctype SourceAgent() {
    mtype m;
    /* the ordinary way */
    if
    :: src_up && stream_src && lease_src ->
        atomic { if :: src == moving && lease_src -> src_runs = false :: else fi };  /* freeze, send everything */
        atomic { if :: stream_src && src_up -> to_dst!m_switchover :: else fi };
        if
        :: atomic { to_src?m; if :: m == m_ready && src_up -> skip :: else -> m = m_refused fi }
        :: !stream_src || !src_up -> m = m_refused
        :: m = m_refused                 /* a time-out, or the user cancelled */
        fi;
        if
        :: m == m_ready ->
            if :: src_up -> commit() :: else fi;
            atomic { if :: src == committed && stream_src && src_up -> to_dst!m_commit :: else fi };
            if
            :: to_src?m -> skip
            :: !stream_src || !src_up -> m = m_abort
            :: m = m_abort               /* a time-out */
            fi;
            if
            :: m == m_running && src_up -> finish()
            :: m == m_refused && src_up -> hand_back()
            :: else
            fi
        :: else ->
            if :: src_up -> roll_back() :: else fi;
            atomic { if :: stream_src && src_up && nfull(to_dst) -> to_dst!m_abort :: else fi }
        fi
    :: !src_up || !stream_src || !lease_src
    fi;
    /* After a failure, and after each restart: what is on disk decides. */
end:
    do
    :: src == committed || src == moving -> src_up = true; settle_source()
    :: !src_up -> src_up = true
    od
}

active proctype DestinationAgent() {
    mtype m;
    if
    :: atomic { to_dst?m } ->
        if
        :: m == m_switchover && dst_up ->
            atomic { if :: dst == preparing && lease_dst -> dst = held :: else fi };     /* restored, stopped */
            atomic {
                if
                :: dst == held && stream_dst && dst_up -> to_src!m_ready
                :: dst == refused && stream_dst && dst_up -> to_src!m_refused
                :: else
                fi
            };
            if
            :: to_dst?m -> skip
            :: !stream_dst || !dst_up -> m = m_ready     /* nothing heard */
            fi;
            if
            :: m == m_commit && dst_up -> release()
            :: m == m_abort && dst_up -> abort_destination()
            :: else
            fi;
            atomic {
                if
                :: dst == running && stream_dst && dst_up && nfull(to_src) -> to_src!m_running
                :: dst == refused && stream_dst && dst_up && nfull(to_src) -> to_src!m_refused
                :: else
                fi
            }
        :: m == m_abort && dst_up -> abort_destination()
        :: else
        fi
    :: !stream_dst || !dst_up
    fi;
end:
    do
    :: dst == held || dst == preparing -> dst_up = true; settle_destination()
    :: !dst_up -> dst_up = true
    od
}

/* Never two. */
ltl never_two { [] !(src_runs && dst_runs) }
/* Never none: from some moment on, for ever, exactly one runs and the records agree. */
ltl never_none {
    <>[] ((src_runs && !dst_runs && (src == rolled_back || src == returned) && dst == refused) ||
          (dst_runs && !src_runs && src == done && dst == running))
}
/* A commit hands over for good: the source runs again only when the destination has refused. */
ltl commit_is_final { [] ((src == returned) -> dst == refused) }
