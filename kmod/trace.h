/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints: ringq:ringq_death, when what a dead port left has been put in order. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ringq

#if !defined(RINGQ_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define RINGQ_TRACE_H

#include <linux/tracepoint.h>

#include "ringq.h"

TRACE_EVENT(ringq_death,
	    TP_PROTO(const struct ringq_ring *ring, const struct ringq_death *death, pid_t pid),
	    TP_ARGS(ring, death, pid),

	    TP_STRUCT__entry(__array(u8, id, 16)
			     __array(char, name, RINGQ_NAME_SIZE)
			     __field(u64, serial)
			     __field(u32, role)
			     __field(u32, port)
			     __field(u32, generation)
			     __field(pid_t, pid)
			     __field(u64, tombs)
			     __field(u64, redelivered)
			     __field(u64, dropped)
	    ),

	    TP_fast_assign(memcpy(__entry->id, ring->id, sizeof(__entry->id));
			   memcpy(__entry->name, ring->name, sizeof(__entry->name));
			   __entry->serial = death->serial;
			   __entry->role = death->role;
			   __entry->port = death->port;
			   __entry->generation = death->generation;
			   __entry->pid = pid;
			   __entry->tombs = death->tombs;
			   __entry->redelivered = death->redelivered;
			   __entry->dropped = death->dropped;
	    ),

	    TP_printk("id=%pU name=%s serial=%llu %s=%u generation=%u pid=%d tombs=%llu redelivered=%llu dropped=%llu",
		      __entry->id, __entry->name, __entry->serial,
		      __entry->role == RINGQ_PRODUCER ? "producer" : "consumer", __entry->port,
		      __entry->generation, __entry->pid, __entry->tombs, __entry->redelivered,
		      __entry->dropped)
);

#endif /* RINGQ_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
