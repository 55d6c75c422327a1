// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A consumer in a GLib main loop: a source of its own kind. Before the loop polls it asks the
 * source whether there is something already (prepare), and afterwards whether there is now
 * (check); if so it has it call its callback (dispatch).
 */
#include "loop.h"

#include <glib-unix.h>

typedef gboolean ring_func(struct feed *feed);

struct ring_source {
	GSource source;
	struct ringq_port *port;
	gpointer tag;		/* of the port's descriptor */
};

/* Arms the port if it is empty, which costs next to nothing if it is armed already. */
static gboolean ring_prepare(GSource *source, gint *timeout)
{
	struct ring_source *s = (struct ring_source *)source;

	*timeout = -1;
	return NEED(ringq_arm(s->port)) == 1;
}

static gboolean ring_check(GSource *source)
{
	struct ring_source *s = (struct ring_source *)source;

	return g_source_query_unix_fd(source, s->tag) != 0;
}

static gboolean ring_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
	(void)source;
	return callback ? ((ring_func *)(void (*)(void))callback)(data) : G_SOURCE_REMOVE;
}

static GSourceFuncs ring_funcs = {
	.prepare = ring_prepare, .check = ring_check, .dispatch = ring_dispatch,
};

static GSource *ring_source_new(struct ringq_port *port)
{
	GSource *source = g_source_new(&ring_funcs, sizeof(struct ring_source));
	struct ring_source *s = (struct ring_source *)source;

	s->port = port;
	s->tag = g_source_add_unix_fd(source, NEED(ringq_port_fd(port)), G_IO_IN);
	return source;
}

static GMainLoop *loop;

static gboolean on_ready(struct feed *feed)
{
	if (feed_take(feed) != 0)
		return G_SOURCE_CONTINUE;
	g_main_loop_quit(loop);
	return G_SOURCE_REMOVE;
}

int main(void)
{
	struct feed feed;
	GSource *source;

	feed_open(&feed);
	loop = g_main_loop_new(NULL, FALSE);
	source = ring_source_new(&feed.in.port);
	g_source_set_callback(source, G_SOURCE_FUNC(on_ready), &feed, NULL);
	g_source_attach(source, NULL);
	g_main_loop_run(loop);
	g_source_unref(source);
	g_main_loop_unref(loop);
	return feed_close(&feed);
}
