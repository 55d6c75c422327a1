// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* A consumer in an sd-event loop: an I/O source on the port's descriptor, level-triggered. */
#include "loop.h"

#include <sys/epoll.h>
#include <systemd/sd-event.h>

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	(void)fd;
	(void)events;
	return feed_take(arg) == 0 ? sd_event_exit(sd_event_source_get_event(source), 0) : 0;
}

int main(void)
{
	sd_event_source *source;
	struct feed feed;
	sd_event *loop;

	feed_open(&feed);
	NEED(sd_event_new(&loop));
	NEED(sd_event_add_io(loop, &source, NEED(ringq_port_fd(&feed.in.port)), EPOLLIN, on_ready,
			     &feed));
	NEED(sd_event_loop(loop));
	sd_event_source_unref(source);
	sd_event_unref(loop);
	return feed_close(&feed);
}
