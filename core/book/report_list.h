/* SPDX-License-Identifier: Apache-2.0 */

/*
 * report_list.h - all reports
 */
#ifndef CORE_BOOK_REPORT_LIST_H
#define CORE_BOOK_REPORT_LIST_H

#include "book/report.h"

extern const struct report report_summary, report_worker, report_team,
	report_top, report_routing, report_health, report_circuit,
	report_provider, report_worker_costs, report_payroll,
	report_worker_report, report_forecast, report_cost_drivers,
	report_period_totals, report_daily, report_anomalies,
	report_data_quality, report_calls, report_overview, report_tags;

#endif
