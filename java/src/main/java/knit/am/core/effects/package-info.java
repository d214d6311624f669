/** What an event leads to: actions, replies, alarms, journal records and timeline entries. */
package knit.am.core.effects;
