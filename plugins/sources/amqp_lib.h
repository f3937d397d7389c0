/* SPDX-License-Identifier: Apache-2.0 */

/*
 * amqp_lib.h - the headers of rabbitmq-c, which moved with 0.12
 */
#ifndef AMQP_LIB_H
#define AMQP_LIB_H

#include "config.h"

#ifdef HAVE_RABBITMQ_C_AMQP_H
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif

#endif
