// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A consumer in a libevent loop, edge-triggered: the event comes once, so take all there is, and
 * then let ringq_arm() say whether something has come meanwhile; if not, the next message is an
 * edge. (Level-triggered, without EV_ET, one feed_take() would do: see loop_libuv.c.)
 */
#include "loop.h"

#include <event2/event.h>

struct consumer {
	struct feed feed;
	struct event *event;
};

static void *need_event(void *p, const char *what)
{
	if (!p) {
		fprintf(stderr, "%s failed\n", what);
		exit(EXIT_FAILURE);
	}
	return p;
}

static void on_edge(evutil_socket_t fd, short what, void *arg)
{
	struct consumer *c = arg;
	int r;

	(void)fd;
	(void)what;
	do
		r = feed_take(&c->feed);
	while (r > 0 || (r == -EAGAIN && NEED(ringq_arm(&c->feed.in.port))));
	/* That was the only event, so this ends the loop. */
	if (r == 0)
		event_del(c->event);
}

int main(void)
{
	struct event_config *config;
	struct event_base *base;
	struct consumer c;

	feed_open(&c.feed);
	config = need_event(event_config_new(), "event_config_new");
	event_config_require_features(config, EV_FEATURE_ET);
	base = need_event(event_base_new_with_config(config), "event_base_new_with_config");
	event_config_free(config);
	c.event = need_event(event_new(base, NEED(ringq_port_fd(&c.feed.in.port)),
				       EV_READ | EV_PERSIST | EV_ET, on_edge, &c), "event_new");
	NEED(event_add(c.event, NULL));
	NEED(event_base_dispatch(base));
	event_free(c.event);
	event_base_free(base);
	return feed_close(&c.feed);
}
