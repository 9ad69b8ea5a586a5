/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SipHash-1-3 against a plain transcription of the paper's algorithm, which is itself held
 * against the paper's vector for SipHash-2-4 (appendix A).
 */
#include "unit.h"

#include "base/siphash.h"

#include <string.h>

static const struct siphash_key paper_key = {{0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull}};

static void ref_rounds(uint64_t v[4], int n)
{
#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
	while (n--) {
		v[0] += v[1];
		v[1] = ROTL(v[1], 13);
		v[1] ^= v[0];
		v[0] = ROTL(v[0], 32);
		v[2] += v[3];
		v[3] = ROTL(v[3], 16);
		v[3] ^= v[2];
		v[0] += v[3];
		v[3] = ROTL(v[3], 21);
		v[3] ^= v[0];
		v[2] += v[1];
		v[1] = ROTL(v[1], 17);
		v[1] ^= v[2];
		v[2] = ROTL(v[2], 32);
	}
#undef ROTL
}

/* Pads a copy as the paper says and takes words byte by byte. */
static uint64_t ref_siphash(int c, int d, const struct siphash_key *k, const void *data, size_t len)
{
	uint8_t padded[512] = {0};
	uint64_t v[4] = {k->k[0] ^ 0x736f6d6570736575ull, k->k[1] ^ 0x646f72616e646f6dull,
			 k->k[0] ^ 0x6c7967656e657261ull, k->k[1] ^ 0x7465646279746573ull};
	size_t words = len / 8 + 1;

	ck_assert_uint_le(words * 8, sizeof(padded));
	memcpy(padded, data, len);
	padded[words * 8 - 1] = (uint8_t)len;
	for (size_t w = 0; w < words; w++) {
		uint64_t m = 0;

		for (int i = 7; i >= 0; i--)
			m = m << 8 | padded[w * 8 + (size_t)i];
		v[3] ^= m;
		ref_rounds(v, c);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	ref_rounds(v, d);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void count_up(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)i;
}

START_TEST(reference_gives_the_papers_vector)
{
	uint8_t in[15];

	count_up(in, sizeof(in));
	ck_assert_uint_eq(ref_siphash(2, 4, &paper_key, in, sizeof(in)), 0xa129ca6149be45e5ull);
}
END_TEST

START_TEST(known_vectors_of_1_3)
{
	uint8_t in[1] = {0};

	ck_assert_uint_eq(siphash13(&paper_key, in, 0), 0xabac0158050fc4dcull);
	ck_assert_uint_eq(siphash13(&paper_key, in, 1), 0xc9f49bf37d57ca93ull);
}
END_TEST

START_TEST(same_as_reference_for_all_lengths)
{
	uint8_t in[256 + 8];

	count_up(in, sizeof(in));
	for (size_t len = 0; len <= 256; len++)
		for (size_t shift = 0; shift < 8; shift += 3)
			ck_assert_uint_eq(siphash13(&paper_key, in + shift, len),
					  ref_siphash(1, 3, &paper_key, in + shift, len));
}
END_TEST

START_TEST(same_as_reference_for_random_input)
{
	uint64_t seed = unit_seed("siphash");

	for (int round = 0; round < 2000; round++) {
		struct siphash_key k = {{unit_rand(&seed), unit_rand(&seed)}};
		uint8_t in[100];
		size_t len = unit_rand(&seed) % (sizeof(in) + 1);

		for (size_t i = 0; i < len; i++)
			in[i] = (uint8_t)unit_rand(&seed);
		ck_assert_uint_eq(siphash13(&k, in, len), ref_siphash(1, 3, &k, in, len));
	}
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("siphash");
	TCase *t = tcase_create("siphash");

	tcase_add_test(t, reference_gives_the_papers_vector);
	tcase_add_test(t, known_vectors_of_1_3);
	tcase_add_test(t, same_as_reference_for_all_lengths);
	tcase_add_test(t, same_as_reference_for_random_input);
	suite_add_tcase(s, t);
	return s;
}
