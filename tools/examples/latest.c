// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The newest value of something, of any size, always whole: the position of a robot, a
 * configuration. Who writes never waits; who reads gets the newest, however many he missed.
 */
#include "example.h"

struct pose {
	double x, y, z, yaw, pitch, roll;
	double joints[26];
};

RINGQ_TYPED(poses, struct pose, latest);

int main(void)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .discipline = RINGQ_LATEST, .elem_size = sizeof(struct pose),
	};
	struct poses_producer writer;
	struct poses_consumer reader;
	struct pose pose = { 0 };
	struct ringq *ring;
	int r;

	NEED(ringq_create(&opts, &ring));
	NEED(poses_attach_producer(ring, &writer));
	NEED(poses_attach_consumer(ring, &reader));
	for (int i = 1; i <= 100; i++) {
		pose.x = i;
		pose.joints[25] = -i;
		NEED(poses_send(&writer, &pose, RINGQ_NOWAIT));
	}
	/* The newest that this reader has not got yet; one that comes later would be waited for. */
	NEED(poses_recv(&reader, &pose, RINGQ_FOREVER));
	printf("x is %g\n", pose.x);
	r = pose.x == 100 && pose.joints[25] == -100 &&
	    poses_recv(&reader, &pose, RINGQ_NOWAIT) == -EAGAIN ? 0 : 1;
	ringq_detach(&reader.port);
	ringq_detach(&writer.port);
	ringq_leave(ring);
	return r;
}
