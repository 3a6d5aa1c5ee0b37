/* What both programs call themselves. */
#ifndef TASKS_BASE_VERSION_H
#define TASKS_BASE_VERSION_H

#define TALKOOT_VERSION "0.1.0"

#endif
