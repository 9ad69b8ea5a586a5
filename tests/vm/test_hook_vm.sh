#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The nf_tables hookup on a stock kernel: the queue expression itself, and text that nft reads as it is.
cd "${0%/*}/../.." || exit 1
modprobe -a nf_tables nft_queue nfnetlink_queue veth 2>/dev/null
HOOK_EXACTLY=1 exec bash tests/netns/test_hook_nft.sh
