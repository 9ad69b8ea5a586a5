/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is remembered, in words: for the list of pendctl decisions, and for pendctl top. */
#ifndef CLI_DECISION_TEXT_H
#define CLI_DECISION_TEXT_H

#include "cli/out.h"

void decision_text_source(const json_t *v, char cell[OUT_CELL]);
void decision_text_service(const json_t *v, char cell[OUT_CELL]);
void decision_text_by(const json_t *v, char cell[OUT_CELL]);
void decision_text_rule(const json_t *v, char cell[OUT_CELL]);
void decision_text_left(long long ms, char cell[OUT_CELL]);

#endif
