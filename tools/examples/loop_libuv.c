// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A consumer in a libuv loop: a uv_poll_t on the port's descriptor. libuv polls level-triggered,
 * so it calls again as long as there is something, and nothing else is to be prepared.
 */
#include "loop.h"

#include <uv.h>

static void need_uv(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, uv_strerror(r));
		exit(EXIT_FAILURE);
	}
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
	struct feed *feed = handle->data;
	int r;

	(void)events;
	/*
	 * An error of the descriptor (on the device: the sender has died) is not one of the ring,
	 * which may still have something; but libuv will not call again.
	 */
	do
		r = feed_take(feed);
	while (r > 0 && status < 0);
	if (r == 0)
		uv_close((uv_handle_t *)handle, NULL);
}

int main(void)
{
	struct feed feed;
	uv_poll_t handle;
	uv_loop_t loop;

	feed_open(&feed);
	need_uv(uv_loop_init(&loop), "uv_loop_init");
	need_uv(uv_poll_init(&loop, &handle, NEED(ringq_port_fd(&feed.in.port))), "uv_poll_init");
	handle.data = &feed;
	need_uv(uv_poll_start(&handle, UV_READABLE, on_ready), "uv_poll_start");
	/* Until the handle, the only one, is closed. */
	uv_run(&loop, UV_RUN_DEFAULT);
	need_uv(uv_loop_close(&loop), "uv_loop_close");
	return feed_close(&feed);
}
