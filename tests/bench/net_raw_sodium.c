/* The yardstick of bench_net: libsodium's ChaCha20-Poly1305 and nothing else. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/net_bench.h"

double raw_bytes_per_s(size_t n, size_t count)
{
	uint8_t key[crypto_aead_chacha20poly1305_ietf_KEYBYTES] = {1};
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES] = {0};
	uint8_t *buffer = calloc(1, n + crypto_aead_chacha20poly1305_ietf_ABYTES);
	double start = bench_cpu_seconds();
	bool good = buffer != NULL;

	for (size_t i = 0; i < count && good; i++) {
		memcpy(nonce, &i, sizeof(i));
		crypto_aead_chacha20poly1305_ietf_encrypt(
			buffer, NULL, buffer, n, NULL, 0, NULL, nonce, key);
		good = crypto_aead_chacha20poly1305_ietf_decrypt(buffer, NULL, NULL, buffer,
			       n + crypto_aead_chacha20poly1305_ietf_ABYTES, NULL, 0, nonce,
			       key) == 0;
	}
	free(buffer);
	return good ? (double)n * (double)count / (bench_cpu_seconds() - start) : 0;
}
