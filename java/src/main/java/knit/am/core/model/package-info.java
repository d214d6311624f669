/** Values without behaviour: the specification, grants, states, outcomes, exit statuses. */
package knit.am.core.model;
