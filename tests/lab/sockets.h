/* What the lab's probe needs of TCP over IPv4: sockets that share a local port, and limits on every wait.
 * A local port is shared by all sockets of a process, because that is what hole punching does. */
#ifndef TESTS_LAB_SOCKETS_H
#define TESTS_LAB_SOCKETS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENDPOINT_SIZE 24u /* "255.255.255.255:65535" and a NUL */
#define LINE_SIZE     128u

/* Reads "ADDRESS:PORT", or ADDRESS alone with the port given. False: it is neither. */
bool endpoint_read(struct sockaddr_in *out, const char *text, uint16_t port);
void endpoint_write(char out[ENDPOINT_SIZE], const struct sockaddr_in *e);

/* A socket bound to port of every address (0: any port), or −1. It closes without TIME_WAIT, so that the
 * same pair of endpoints can be tried again at once. */
int tcp_bound(uint16_t port);
int tcp_listening(uint16_t port);
/* Connects a bound socket within ms; false: refused, or silence. */
bool tcp_connects(int fd, const struct sockaddr_in *to, int ms);
/* tcp_bound and tcp_connects; −1 when it does not succeed. */
int tcp_open(uint16_t port, const struct sockaddr_in *to, int ms);

/* Waits for something to read, ms at most. */
bool is_readable(int fd, int ms);
/* One line without its end, which has to come within ms. */
bool line_get(int fd, char out[LINE_SIZE], int ms);
bool line_put(int fd, const char *text);

int64_t now_us(void);

#endif
