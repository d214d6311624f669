/**
 * The application: services, instances and containers, from request to end. Lost containers: {@link
 * knit.am.core.application.ContainerEnds}.
 */
package knit.am.core.application;
