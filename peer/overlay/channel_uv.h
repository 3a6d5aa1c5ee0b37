/* One TCP connection on libuv: dialled (each address of a name in turn) or accepted, written, ended.
 * Knows nothing of sessions. Every way out leads through `freed`, which comes exactly once. */
#ifndef PEER_OVERLAY_CHANNEL_UV_H
#define PEER_OVERLAY_CHANNEL_UV_H

#include "peer/overlay/address.h"
#include "peer/overlay/node.h"

#define CHANNEL_READ_BYTES    65536u
#define CHANNEL_ADDRESSES_MAX 8u    /* of one name, or of one record, that are tried */
#define CHANNEL_LINGER_MS     3000u /* how long the other side may take to read our last words */

struct uv_loop_s;
struct uv_stream_s;
struct channel;

/* Who owns the channels, and hears of them; never from within a call of a channel function, except
 * `lost` from channel_write. */
struct channel_host {
	struct uv_loop_s *loop;
	void *context;
	uint16_t port; /* on which we listen, and from which we dial; 0: none */
	void (*connected)(void *context, struct channel *c); /* a dial got through */
	void (*bytes)(void *context, struct channel *c, struct span bytes);
	void (*written)(void *context, struct channel *c, size_t count);
	/* It was open and is gone, not by channel_end; `freed` follows. */
	void (*lost)(void *context, struct channel *c, const char *why);
	void (*freed)(void *context, struct channel *c); /* c is no more after this */
	char buffer[CHANNEL_READ_BYTES]; /* what was read last, used up before the next read */
};

/* The part that its owner sees. */
struct channel {
	conn_id conn;
	bool dialled;
	bool open;	/* the transport came up */
	bool heard;	/* … and something came through it */
	bool lost;	/* … and the other side, or the system, ended it */
	bool up;	/* the owner's: the session came up */
	conn_id renews; /* the owner's: it stands for that one; 0: for none */
	bool expects;
	struct public_key expect; /* the owner's: whose identity a dial wants */
	bool hosts;		  /* the owner's: it wants the root's, and takes a host's */
	struct endpoint remote;	  /* once open: the other end; family 0: not known */
	bool from_port;		  /* dialled from the host's port */
	uint64_t token;		  /* the owner's: of NODE_TRY; 0: none */
	char why[TEXT_MAX];	  /* why it ended */
};

/* Starts a dial. Borrows host for the channel's life. Errors: TK_EINVAL (not a name that could be
 * looked up), TK_ENOMEM. */
int channel_dial(struct channel **out, struct channel_host *host, conn_id conn,
	const struct address *address, struct errmsg *msg) TK_CHECKED;

/* The same to known addresses, in this order. count ≥ 1. Errors: TK_ENOMEM, TK_ELIMIT (the system gives no
 * more sockets). */
int channel_dial_endpoints(struct channel **out, struct channel_host *host, conn_id conn,
	const struct endpoint *endpoints, size_t count, struct errmsg *msg) TK_CHECKED;

/* Dials where c, an open dial, got through. Errors: TK_ENOMEM, TK_ELIMIT. */
int channel_dial_again(struct channel **out, struct channel_host *host, conn_id conn,
	const struct channel *c) TK_CHECKED;

/* Takes the connection that waits at listener and reads from it. NULL: out of memory, it still waits.
 * One that is not `open` broke at once and is being freed. */
struct channel *channel_accept(
	struct channel_host *host, conn_id conn, struct uv_stream_s *listener);

/* For the system's calls. */
struct sockaddr_storage;
void endpoint_sockaddr(struct sockaddr_storage *out, const struct endpoint *e);

/* Writes; takes the bytes. Not open any more: they are dropped. */
void channel_write(struct channel *c, struct bytes *bytes);

/* Ends it once what was written has gone out. Again is harmless: the first reason stays. */
void channel_end(struct channel *c, const char *why);

/* Every second or so: gives up on what takes too long. */
void channel_tick(struct channel *c);

#endif
